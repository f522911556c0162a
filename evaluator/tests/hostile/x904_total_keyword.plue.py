# expect: error
# tries: total on a class that is no TypedDict
# class: classes
class A(total=False):
    pass
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(1)[:500] or "e")])
