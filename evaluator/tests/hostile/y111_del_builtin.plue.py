# expect: error
# tries: del of a guard
# class: bindings
def workflow():
    del print
    del __import__
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", "x")])
