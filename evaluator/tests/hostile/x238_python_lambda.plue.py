# expect: error
# tries: a lambda as code
# class: plan
def workflow():
    return Plan("x", steps=[Step.python("a", lambda: 1)])
