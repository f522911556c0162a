# expect: error
# tries: a reference joined to a text
# class: plan
def workflow():
    return Plan("x", steps=[Step.bash("a", "echo " + ref("b"))])
