# expect: ok
# dc inherit default
from dataclasses import dataclass, field
@dataclass
class A:
    a: int = 1
    b: dict = field(default_factory=dict, repr=False)
@dataclass
class B(A):
    c: str = 'x'
    def __post_init__(self):
        self.c = self.c.upper()
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(B(2, c='q'))[:500] or "e")])
