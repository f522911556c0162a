# expect: error
# tries: a dunder walk in a decorator
# class: attribute walk
@().__class__.__base__
def g():
    pass
def workflow():
    x = 1
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
