# expect: error|ok
# tries: a line end in the name of a plan
# class: plan
def workflow():
    return Plan(name="x\nrun: evil", steps=[Step.bash("a", "x")])
