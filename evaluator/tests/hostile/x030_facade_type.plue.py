# expect: error
# tries: make a module from the type of a façade
# class: attribute walk
import json
def workflow():
    x = type(json)("os")
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
