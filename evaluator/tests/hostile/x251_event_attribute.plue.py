# expect: error
# tries: an attribute of None when a workflow is only listed
# class: plan
E = None.type
def workflow():
    return Plan("x", steps=[Step.bash("a", "true")], description=E)
