# expect: error
# tries: reduce(getattr, …)
# class: attribute walk
from functools import reduce
def workflow():
    x = reduce(getattr, ["__class__", "__base__"], ())
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
