# expect: error
# tries: a vertical tab
# class: source
def workflow():
    x =1
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", "x")])
