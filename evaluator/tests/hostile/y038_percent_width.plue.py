# expect: error|killed
# tries: %-formatting with a width from an argument
# class: format strings
def workflow():
    x = "%*d" % (2_000_000_000, 1)
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", x)])
