# expect: error
# tries: what an allowed module imported itself
# class: imports
import collections
def workflow():
    x = collections._sys
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
