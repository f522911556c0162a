# expect: error
# tries: hash of None
# class: determinism
def workflow():
    x = hash(None)
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
