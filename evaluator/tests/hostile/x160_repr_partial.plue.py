# expect: error
# tries: the text of a partial
# class: determinism
from functools import partial
def workflow():
    x = str(partial(workflow))
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
