# expect: error
# tries: a name that plue does not have
# class: imports
from plue import os
def workflow():
    x = 1
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
