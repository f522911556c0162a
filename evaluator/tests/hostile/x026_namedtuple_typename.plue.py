# expect: error
# tries: source text as the name of a named tuple
# class: attribute walk
from collections import namedtuple
T = namedtuple('T(object):\n pass #', ['x'])
def workflow():
    x = T
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
