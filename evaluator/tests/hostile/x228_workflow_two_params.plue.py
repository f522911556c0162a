# expect: error
# tries: a workflow with two parameters
# class: plan
def workflow(a, b):
    return Plan(name="x", triggers=[], steps=[Step.bash("a", "true")])
