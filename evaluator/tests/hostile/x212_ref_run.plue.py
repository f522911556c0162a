# expect: error
# tries: a reference as a command
# class: plan
def workflow():
    return Plan("x", steps=[Step.bash("a", "1"), Step.bash("b", ref("a"), depends_on=["a"])])
