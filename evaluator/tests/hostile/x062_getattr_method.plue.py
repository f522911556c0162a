# expect: error
# tries: __getattr__
# class: classes
class A:
    def __getattr__(self, n):
        return n
def workflow():
    x = 1
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
