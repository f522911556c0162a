# expect: error
# tries: a dictionary made from a set
# class: determinism
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(dict.fromkeys({'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'}))[:500] or "e")])
