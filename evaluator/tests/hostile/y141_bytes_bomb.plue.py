# expect: error|killed
# tries: bytes(10**12)
# class: builtins
def workflow():
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", str(len(bytes(10**12))))])
