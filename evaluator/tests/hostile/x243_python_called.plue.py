# expect: error
# tries: a step function that is also called here
# class: plan
def go():
    import os
    return os.environ
def workflow():
    return Plan("x", steps=[Step.python("a", go), Step.bash("b", str(go()))])
