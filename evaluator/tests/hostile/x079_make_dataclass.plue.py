# expect: error
# tries: make_dataclass makes code
# class: classes
from dataclasses import make_dataclass
def workflow():
    x = 1
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
