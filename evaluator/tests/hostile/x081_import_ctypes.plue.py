# expect: error
# tries: import ctypes
# class: imports
import ctypes
def workflow():
    x = 1
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
