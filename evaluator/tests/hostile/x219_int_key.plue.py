# expect: error
# tries: a number as a key
# class: plan
def workflow():
    return Plan("x", env={1: "a"}, steps=[Step.bash("a", "true")])
