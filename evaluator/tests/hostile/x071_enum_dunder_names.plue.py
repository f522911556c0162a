# expect: error
# tries: the functional Enum defines dunders
# class: classes
from enum import Enum
def workflow():
    x = Enum("E", "A B")
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
