# expect: error
# tries: import operator.os
# class: imports
import operator.os
def workflow():
    x = 1
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
