# expect: error
# tries: a text joined from a set
# class: determinism
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(','.join({'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j'}))[:500] or "e")])
