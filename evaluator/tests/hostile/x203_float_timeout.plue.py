# expect: error
# tries: a float as a duration
# class: plan
def workflow():
    return Plan("x", steps=[Step.bash("a", "1", timeout=1.5)])
