# expect: error
# tries: a step that depends on itself
# class: plan
def workflow():
    return Plan("x", steps=[Step.bash("a", "1", depends_on=["a"])])
