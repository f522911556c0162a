# expect: error
# tries: the text of a function
# class: determinism
def workflow():
    x = repr(workflow)
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
