# expect: error
# tries: a workflow with keyword arguments
# class: plan
def workflow(**ctx):
    return Plan(name="x", triggers=[], steps=[Step.bash("a", "true")])
