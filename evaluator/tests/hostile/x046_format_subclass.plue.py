# expect: error
# tries: format of a subclass
# class: format strings
class S(str):
    pass
def workflow():
    x = S("{0.__class__}").format(1)
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
