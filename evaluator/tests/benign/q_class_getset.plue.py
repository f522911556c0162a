# expect: ok
# class getset
class A:
    def __init__(self):
        self._x = 1
    @property
    def x(self):
        return self._x
    @x.setter
    def x(self, v):
        self._x = v
    @x.deleter
    def x(self):
        self._x = 0
A1 = A()
A1.x = 5
del A1.x
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(A1.x)[:500] or "e")])
