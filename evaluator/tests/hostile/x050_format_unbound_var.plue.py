# expect: error
# tries: format of a class held in a variable
# class: format strings
def workflow():
    x = (lambda t: t.format("{0.__class__}", 1))(str)
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
