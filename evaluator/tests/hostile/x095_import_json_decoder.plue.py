# expect: error
# tries: the same with a dot
# class: imports
import json.decoder
def workflow():
    x = 1
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
