# expect: error
# tries: operator.attrgetter
# class: attribute walk
from operator import attrgetter
def workflow():
    x = attrgetter("__class__")(())
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
