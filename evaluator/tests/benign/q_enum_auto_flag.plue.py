# expect: ok
# enum auto flag
from enum import Flag, auto, IntFlag
class F(Flag):
    A = auto()
    B = auto()
    AB = A | B
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str((F.A in F.AB, [f.name for f in F.AB], F.A | F.B is F.AB, ~F.A))[:500] or "e")])
