# expect: error
# tries: map(getattr, …)
# class: attribute walk
def workflow():
    x = list(map(getattr, [()], ["__class__"]))
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
