# expect: error
# tries: the text of a code-like object through ascii
# class: determinism
def workflow():
    x = ascii(workflow)
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
