# expect: error
# tries: __slots__
# class: classes
class A:
    __slots__ = ('x',)
def workflow():
    x = 1
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
