# expect: error
# tries: partial.func leads to a function's globals
# class: attribute walk
from functools import partial
def workflow():
    x = partial(workflow).func.__globals__
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
