# expect: error|killed
# tries: split into a billion
# class: resources
def workflow():
    x = ("a " * 50_000_000).split()
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", str(len(x)))])
