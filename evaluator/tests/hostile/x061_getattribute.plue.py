# expect: error
# tries: __getattribute__
# class: classes
class A:
    def __getattribute__(self, n):
        return n
def workflow():
    x = 1
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
