# expect: error
# tries: neither code nor script
# class: plan
def workflow():
    return Plan("x", steps=[Step.python("a")])
