# expect: error
# tries: an empty command
# class: plan
def workflow():
    return Plan("x", steps=[Step.bash("a", "")])
