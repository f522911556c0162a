# expect: error
# tries: asdict on a renamed field
# class: attribute walk
from dataclasses import dataclass, field, asdict, fields
@dataclass
class A:
    y: int
fields(A)[0].name = '__class__'
def workflow():
    x = asdict(A(1))
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
