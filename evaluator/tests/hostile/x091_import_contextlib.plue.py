# expect: error
# tries: import contextlib
# class: imports
import contextlib
def workflow():
    x = 1
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
