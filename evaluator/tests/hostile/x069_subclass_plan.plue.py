# expect: error
# tries: a subclass of Plan
# class: classes
class A(Plan):
    pass
def workflow():
    x = 1
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
