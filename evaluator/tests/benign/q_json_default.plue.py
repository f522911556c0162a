# expect: ok
# json default
import json
class A:
    x = 1
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(json.dumps({'a': A()}, default=lambda o: o.x))[:500] or "e")])
