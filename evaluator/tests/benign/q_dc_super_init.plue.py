# expect: ok
# dc super init
from dataclasses import dataclass
@dataclass
class A:
    a: int
    def __post_init__(self):
        self.t = 1
@dataclass
class B(A):
    b: int = 0
    def __post_init__(self):
        super().__post_init__()
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(B(1).t)[:500] or "e")])
