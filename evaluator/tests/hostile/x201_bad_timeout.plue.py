# expect: error
# tries: a bad duration
# class: plan
def workflow():
    return Plan("x", timeout="soon", steps=[Step.bash("a", "true")])
