# expect: error
# tries: a subclass of Step
# class: classes
class A(Step):
    pass
def workflow():
    x = 1
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
