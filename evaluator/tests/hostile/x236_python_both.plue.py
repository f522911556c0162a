# expect: error
# tries: code and script
# class: plan
def workflow():
    return Plan("x", steps=[Step.python("a", "1", script="x.py")])
