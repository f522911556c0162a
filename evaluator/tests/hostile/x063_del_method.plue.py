# expect: error
# tries: __del__
# class: classes
class A:
    def __del__(self):
        print(1)
def workflow():
    x = 1
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
