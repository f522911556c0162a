# expect: error
# tries: an id that is a path
# class: plan
def workflow():
    return Plan("x", steps=[Step.bash("../x", "1")])
