# expect: error
# tries: a list of a set
# class: determinism
def workflow():
    x = list(frozenset("abcdefghijklmnop"))
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
