# expect: error
# tries: import datetime
# class: imports
import datetime
def workflow():
    x = 1
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
