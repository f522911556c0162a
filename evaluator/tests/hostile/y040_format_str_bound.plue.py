# expect: error
# tries: a bound format taken out of a list
# class: format strings
def workflow():
    x = [s.format for s in ["{0.__class__}"]][0](1)
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", x)])
