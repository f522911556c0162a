# expect: error
# tries: gi_yieldfrom
# class: frames
def g():
    yield from [1]
def workflow():
    x = g().gi_yieldfrom
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
