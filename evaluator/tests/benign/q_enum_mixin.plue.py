# expect: ok
# enum mixin
from enum import Enum
class D:
    def hi(self):
        return self.value
class E(D, Enum):
    A = 'a'
    B = 'b'
    @classmethod
    def default(cls):
        return cls.A
    def __str__(self):
        return self.value
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str((E.default().hi(), f'{E.B}', [str(e) for e in E], E('a').name, len(E), E.A in E, list(E)[0] is E.A))[:500] or "e")])
