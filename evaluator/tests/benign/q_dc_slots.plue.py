# expect: ok
# dc slots
from dataclasses import dataclass
@dataclass(slots=True, frozen=True)
class A:
    a: int
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(A(1))[:500] or "e")])
