# expect: error
# tries: a port that is none
# class: plan
def workflow():
    return Plan("x", steps=[Step.bash("a", "1", services=[Service("x", 70000)])])
