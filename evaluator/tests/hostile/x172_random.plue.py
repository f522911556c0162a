# expect: error
# tries: random
# class: determinism
import random
def workflow():
    x = random.random()
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
