# expect: error
# tries: a number as retry
# class: plan
def workflow():
    return Plan("x", steps=[Step.bash("a", "1", retry=3)])
