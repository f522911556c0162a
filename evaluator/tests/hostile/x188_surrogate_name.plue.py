# expect: error
# tries: half a character in a name
# class: plan
def workflow():
    return Plan("x\udfff", steps=[Step.bash("a", "true")])
