# expect: error
# tries: the metaclass through typing.Type
# class: classes
from typing import Type
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(Type[int]("X", (), {}))[:500] or "e")])
