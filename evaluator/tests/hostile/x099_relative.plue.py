# expect: error
# tries: a relative import
# class: imports
from . import x
def workflow():
    x = 1
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
