# expect: error
# tries: a number as a command
# class: plan
def workflow():
    return Plan("x", steps=[Step.bash("a", 5)])
