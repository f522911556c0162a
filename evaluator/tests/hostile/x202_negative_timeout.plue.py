# expect: error
# tries: a negative duration
# class: plan
def workflow():
    return Plan("x", steps=[Step.bash("a", "1", timeout=-5)])
