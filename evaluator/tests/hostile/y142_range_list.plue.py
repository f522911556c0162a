# expect: error|killed
# tries: list(range(10**9))
# class: builtins
def workflow():
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", str(len(list(range(10**9)))))])
