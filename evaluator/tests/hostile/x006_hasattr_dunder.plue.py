# expect: error
# tries: hasattr as an oracle
# class: attribute walk
def workflow():
    x = hasattr((), "__class__")
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
