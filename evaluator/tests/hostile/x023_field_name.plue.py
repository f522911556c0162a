# expect: error
# tries: a field named after a frame attribute
# class: attribute walk
from dataclasses import dataclass
@dataclass
class A:
    gi_frame: int
def workflow():
    x = A(1)
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
