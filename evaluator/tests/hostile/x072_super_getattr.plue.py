# expect: error
# tries: super().__getattribute__
# class: classes
class A:
    def m(self):
        return super().__getattribute__('m')
def workflow():
    x = A().m()
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
