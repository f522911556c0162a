# expect: error
# tries: str.format called on the class
# class: format strings
def workflow():
    x = str.format("{0.__class__}", 1)
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
