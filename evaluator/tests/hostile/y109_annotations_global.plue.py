# expect: error
# tries: module annotations read back
# class: bindings
x: int = 1
def workflow():
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", str(__annotations__))])
