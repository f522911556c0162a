# expect: error
# tries: a number beyond 2^53
# class: plan
def workflow():
    return Plan("x", steps=[Step.plugin("a", "k", v=2**60)])
