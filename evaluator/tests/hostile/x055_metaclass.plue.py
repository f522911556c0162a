# expect: error
# tries: a metaclass
# class: classes
class M:
    pass
class A(metaclass=M):
    pass
def workflow():
    x = 1
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
