# expect: error
# tries: the classic walk
# class: attribute walk
def workflow():
    x = ().__class__.__mro__[1].__subclasses__()
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
