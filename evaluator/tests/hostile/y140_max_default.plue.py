# expect: error
# tries: max with a key that reads a private attribute
# class: builtins
def workflow():
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", str(max([()], key=lambda t: t.__class__)))])
