# expect: error
# tries: source text as the name of a field
# class: attribute walk
from collections import namedtuple
T = namedtuple('T', ['x=().__class__'])
def workflow():
    x = T(1)
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
