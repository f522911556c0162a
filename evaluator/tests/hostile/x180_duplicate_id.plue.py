# expect: error
# tries: a duplicate id
# class: plan
def workflow():
    return Plan("x", steps=[Step.bash("a", "1"), Step.bash("a", "2")])
