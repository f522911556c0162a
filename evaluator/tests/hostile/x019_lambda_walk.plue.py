# expect: error
# tries: a dunder walk in a lambda
# class: attribute walk
def workflow():
    x = (lambda o: o.__class__)(())
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
