# expect: error
# tries: a private attribute of a foreign object
# class: attribute walk
def obj_of(o):
    return o._inner
def workflow():
    x = obj_of(Step)
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
