# expect: error
# tries: a builtin as code
# class: plan
def workflow():
    return Plan("x", steps=[Step.python("a", print)])
