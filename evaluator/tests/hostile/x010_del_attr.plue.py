# expect: error
# tries: deleting a dunder attribute
# class: attribute walk
class C:
    pass
del C.__module__
def workflow():
    x = 1
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
