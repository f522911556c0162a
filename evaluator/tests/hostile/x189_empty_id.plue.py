# expect: error
# tries: an empty id
# class: plan
def workflow():
    return Plan("x", steps=[Step.bash("", "1")])
