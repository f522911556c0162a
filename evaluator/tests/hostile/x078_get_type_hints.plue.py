# expect: error
# tries: typing.get_type_hints evaluates text
# class: classes
from typing import get_type_hints
def workflow():
    x = 1
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
