# expect: error
# tries: the text of a plain object
# class: determinism
def workflow():
    x = str(object())
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
