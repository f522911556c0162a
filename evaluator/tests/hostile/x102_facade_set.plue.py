# expect: error
# tries: poison a façade
# class: imports
import json
json.loads = print
def workflow():
    x = 1
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
