# expect: error
# tries: import inspect
# class: imports
import inspect
def workflow():
    x = 1
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
