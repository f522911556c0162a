# expect: ok
# ellipsis body
class A:
    def f(self): ...
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(A().f())[:500] or "e")])
