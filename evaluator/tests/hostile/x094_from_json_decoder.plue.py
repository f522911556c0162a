# expect: error
# tries: a submodule of an allowed module
# class: imports
from json import decoder
def workflow():
    x = 1
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
