# expect: error
# tries: a number in depends_on
# class: plan
def workflow():
    return Plan("x", steps=[Step.bash("a", "1", depends_on=[1])])
