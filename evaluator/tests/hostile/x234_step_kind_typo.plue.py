# expect: error
# tries: a misspelt kind
# class: plan
def workflow():
    return Plan("x", steps=[Step.bahs("a", "1")])
