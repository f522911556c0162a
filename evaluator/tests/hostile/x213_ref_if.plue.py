# expect: error
# tries: a decision on a reference
# class: plan
def workflow():
    return Plan("x", steps=[Step.bash("a", "1" if ref("b") else "2")])
