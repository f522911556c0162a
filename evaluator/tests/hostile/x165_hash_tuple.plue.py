# expect: error
# tries: hash of a tuple with a text
# class: determinism
def workflow():
    x = hash(("a", 1))
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
