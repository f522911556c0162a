# expect: error
# tries: a special method by assignment
# class: classes
class A:
    __reduce_ex__ = lambda s, p: 1
def workflow():
    x = 1
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
