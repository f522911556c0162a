# expect: error
# tries: __set_name__
# class: classes
class A:
    def __set_name__(self, o, n):
        print(o)
def workflow():
    x = 1
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
