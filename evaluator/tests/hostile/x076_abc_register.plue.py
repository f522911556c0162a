# expect: error
# tries: register a foreign type as a virtual subclass
# class: classes
from collections.abc import Sequence
Sequence.register(type((i for i in [1])))
def workflow():
    x = 1
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
