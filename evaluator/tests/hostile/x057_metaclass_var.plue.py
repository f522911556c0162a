# expect: error
# tries: deriving from type under another name
# class: classes
t = type
class M(t):
    pass
def workflow():
    x = 1
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
