# expect: ok
# dc classvar future
from __future__ import annotations
from dataclasses import dataclass
from typing import ClassVar
@dataclass
class A:
    n: ClassVar[int] = 0
    a: 'int' = 1
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(A())[:500] or "e")])
