# expect: error
# tries: a str subclass as the attribute's name
# class: attribute walk
class S(str):
    pass
def workflow():
    x = getattr((), S("upper"))
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
