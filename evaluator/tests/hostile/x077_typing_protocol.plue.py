# expect: error
# tries: typing.Protocol
# class: classes
from typing import Protocol
def workflow():
    x = 1
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
