# expect: error
# tries: True as a duration
# class: plan
def workflow():
    return Plan("x", steps=[Step.bash("a", "1", timeout=True)])
