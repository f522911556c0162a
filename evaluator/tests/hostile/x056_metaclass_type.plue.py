# expect: error
# tries: deriving from type
# class: classes
class M(type):
    pass
def workflow():
    x = 1
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
