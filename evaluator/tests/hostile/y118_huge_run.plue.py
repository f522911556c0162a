# expect: error|killed
# tries: a script of 100 MB
# class: plan
def workflow():
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", "x" * 100_000_000)])
