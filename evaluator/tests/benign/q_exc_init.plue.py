# expect: ok
# exc init
class E(ValueError):
    def __init__(self, a):
        super().__init__(a)
        self.a = a
    def __str__(self):
        return super().__str__() + '!'
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(E('x'))[:500] or "e")])
