# expect: error
# tries: import importlib
# class: imports
import importlib
def workflow():
    x = 1
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
