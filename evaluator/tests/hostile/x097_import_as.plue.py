# expect: error
# tries: a dunder as the alias
# class: imports
import json as __builtins__
def workflow():
    x = 1
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
