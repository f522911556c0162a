# expect: error
# tries: getattr(subclass, 'format')
# class: format strings
class S(str):
    pass
def workflow():
    x = getattr(S, "format")("{0.__class__}", 1)
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
