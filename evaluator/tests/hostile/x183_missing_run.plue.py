# expect: error
# tries: a missing command
# class: plan
def workflow():
    return Plan("x", steps=[Step.bash("a")])
