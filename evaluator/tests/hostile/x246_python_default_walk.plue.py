# expect: error
# tries: a walk in a step function's default
# class: plan
def go(x=().__class__):
    return x
def workflow():
    return Plan("x", steps=[Step.python("a", go)])
