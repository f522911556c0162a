# expect: error
# tries: a dunder attribute as a starred target
# class: attribute walk
class C:
    pass
C.x, *C.__bases__ = 1, 2
def workflow():
    x = 1
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
