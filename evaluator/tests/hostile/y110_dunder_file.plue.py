# expect: error
# tries: __file__, __spec__, __loader__
# class: bindings
def workflow():
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", str(__spec__) + str(__file__))])
