# expect: error
# tries: nonlocal __class__
# class: bindings
class A:
    def f(self):
        def g():
            nonlocal __class__
            __class__ = int
        g()
        return super().f()
def workflow():
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", str(A().f()))])
