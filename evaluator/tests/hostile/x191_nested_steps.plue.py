# expect: error
# tries: a list in the list of steps
# class: plan
def workflow():
    return Plan("x", steps=[[Step.bash("a", "1")]])
