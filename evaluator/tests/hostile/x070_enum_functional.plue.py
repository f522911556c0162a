# expect: error
# tries: the functional Enum with a module
# class: classes
from enum import Enum
def workflow():
    x = Enum("E", {"a": 1}, module="os")
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
