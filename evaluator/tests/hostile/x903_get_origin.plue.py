# expect: error
# tries: the metaclass through typing.get_origin
# class: classes
from typing import get_origin
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(get_origin(type[int])("X", (), {}))[:500] or "e")])
