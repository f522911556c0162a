# expect: error|killed
# tries: a width of 10 billion
# class: format strings
def workflow():
    x = "{:>{w}}".format("a", w=10_000_000_000)
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", x)])
