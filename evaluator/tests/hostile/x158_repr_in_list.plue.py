# expect: error
# tries: the text of a list with a function in it
# class: determinism
def workflow():
    x = str([workflow])
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
