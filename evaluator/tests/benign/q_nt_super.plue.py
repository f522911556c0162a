# expect: ok
# nt super
from collections import namedtuple
class P(namedtuple('P', 'x y')):
    def __repr__(self):
        return 'P!' + super().__repr__()
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(P(1, y=2))[:500] or "e")])
