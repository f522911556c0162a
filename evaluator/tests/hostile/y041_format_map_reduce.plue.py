# expect: error
# tries: format through map and str
# class: format strings
def workflow():
    x = list(map(str.format, ["{0.__class__.__mro__}"], [1]))[0]
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", x)])
