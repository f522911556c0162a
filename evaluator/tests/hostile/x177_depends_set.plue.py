# expect: error
# tries: depends_on as a set
# class: plan
def workflow():
    return Plan("x", steps=[Step.bash("a", "1"), Step.bash("b", "1", depends_on={"a"})])
