# expect: error
# tries: a bidirectional override in an id
# class: plan
def workflow():
    return Plan(name="x", steps=[Step.bash("a\u202eb", "x")])
