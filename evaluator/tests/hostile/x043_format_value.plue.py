# expect: error
# tries: str.format as a value
# class: format strings
def workflow():
    x = list(map("{0.__class__}".format, [1]))
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
