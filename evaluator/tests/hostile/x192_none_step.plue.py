# expect: error
# tries: None in the list of steps
# class: plan
def workflow():
    return Plan("x", steps=[Step.bash("a", "1"), None])
