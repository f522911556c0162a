# expect: error|ok
# tries: form feeds to confuse the indentation
# class: source
def workflow():
    x = 1
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", str(x))])
