# expect: error
# tries: a dunder walk in a default argument
# class: attribute walk
def f(x=().__class__):
    return x
def workflow():
    x = f()
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
