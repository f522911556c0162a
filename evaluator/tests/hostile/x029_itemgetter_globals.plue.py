# expect: error
# tries: globals through a façade
# class: attribute walk
import json
def workflow():
    x = json.__dict__
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
