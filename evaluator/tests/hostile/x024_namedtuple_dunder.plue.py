# expect: error
# tries: a named tuple with a dunder field
# class: attribute walk
from collections import namedtuple
T = namedtuple('T', ['__class__'])
def workflow():
    x = T(1)
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
