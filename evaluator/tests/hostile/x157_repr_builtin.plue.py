# expect: error
# tries: the text of an iterator
# class: determinism
def workflow():
    x = repr(iter([]))
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
