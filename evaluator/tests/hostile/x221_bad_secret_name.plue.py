# expect: error
# tries: a secret with a space
# class: plan
def workflow():
    return Plan("x", steps=[Step.bash("a", "1", secrets=["A B"])])
