# expect: error|killed
# tries: format() with a precision of 10 billion
# class: format strings
def workflow():
    x = format(1.5, ".2000000000f")
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", x)])
