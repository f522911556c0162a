# expect: error
# tries: a set as a value
# class: plan
def workflow():
    return Plan("x", steps=[Step.plugin("a", "k", v={1, 2})])
