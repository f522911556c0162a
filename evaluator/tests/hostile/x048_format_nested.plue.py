# expect: error
# tries: attribute access in a nested field
# class: format strings
def workflow():
    x = "{0:{1.__class__}}".format(1, 2)
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
