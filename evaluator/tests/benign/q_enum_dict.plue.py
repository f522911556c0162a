# expect: ok
# enum dict
from enum import Enum
class E(Enum):
    A = 1
    B = 2
M = {E.A: 'x', E.B: 'y'}
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str([M[e] for e in E])[:500] or "e")])
