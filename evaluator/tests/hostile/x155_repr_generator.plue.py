# expect: error
# tries: the text of a generator
# class: determinism
def workflow():
    x = str(i for i in [1])
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
