# expect: ok
# nt methods
from typing import NamedTuple
class J(NamedTuple):
    '''doc'''
    a: str
    b: int = 2
    @property
    def c(self):
        return self.a + str(self.b)
    @classmethod
    def make(cls, a):
        return cls(a)
    def __str__(self):
        return 'J:' + self.a
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str((J('x').c, J.make('y').b, str(J('z')), J('a') == ('a', 2), J._fields))[:500] or "e")])
