# expect: error|killed
# tries: 1 << 10**11
# class: resources
def workflow():
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", str((1 << 10**11) & 1))])
