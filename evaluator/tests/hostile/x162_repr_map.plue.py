# expect: error
# tries: the text of a map
# class: determinism
def workflow():
    x = str(map(str, []))
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
