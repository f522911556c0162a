# expect: ok
# dc initvar
from dataclasses import dataclass, InitVar, field, KW_ONLY
@dataclass
class A:
    a: int
    s: InitVar[int] = 3
    _: KW_ONLY
    k: int = 4
    t: int = field(init=False)
    def __post_init__(self, s):
        self.t = self.a * s
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(A(2, k=1))[:500] or "e")])
