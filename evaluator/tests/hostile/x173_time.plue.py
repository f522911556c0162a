# expect: error
# tries: time
# class: determinism
import time
def workflow():
    x = time.time()
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
