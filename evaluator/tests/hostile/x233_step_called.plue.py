# expect: error
# tries: Step called as a class
# class: plan
def workflow():
    return Plan("x", steps=[Step("a", "1")])
