# expect: error
# tries: an attribute in a nested replacement field
# class: format strings
def workflow():
    x = "{:{0.__class__}}".format(1)
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", x)])
