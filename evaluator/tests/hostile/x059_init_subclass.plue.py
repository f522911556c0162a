# expect: error
# tries: __init_subclass__
# class: classes
class A:
    def __init_subclass__(cls):
        print(cls)
def workflow():
    x = 1
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
