# expect: error
# tries: hash of a text
# class: determinism
def workflow():
    x = hash("abc")
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
