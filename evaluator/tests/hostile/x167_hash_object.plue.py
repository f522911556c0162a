# expect: error
# tries: hash of an object
# class: determinism
def workflow():
    x = hash(object())
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
