# expect: error
# tries: an unknown dependency
# class: plan
def workflow():
    return Plan("x", steps=[Step.bash("a", "1", depends_on=["nope"])])
