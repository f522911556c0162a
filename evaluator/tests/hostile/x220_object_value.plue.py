# expect: error
# tries: an object as a value
# class: plan
def workflow():
    return Plan("x", env={"A": object()}, steps=[Step.bash("a", "true")])
