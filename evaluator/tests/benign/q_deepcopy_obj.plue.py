# expect: ok
# deepcopy obj
import copy
from dataclasses import dataclass, field
@dataclass
class J:
    n: str
    e: dict = field(default_factory=dict)
A = J('a', {'x': 1})
B = copy.deepcopy(A)
B.e['x'] = 2
C = copy.copy(A)
S = copy.deepcopy([Step.bash('a', 'b')])
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str((A, B, C, S))[:500] or "e")])
