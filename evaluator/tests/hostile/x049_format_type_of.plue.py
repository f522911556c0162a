# expect: error
# tries: format of the type of a text
# class: format strings
def workflow():
    x = type("")("{0.__class__}").format(1)
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
