# expect: error
# tries: the text of a cached function
# class: determinism
from functools import lru_cache
def workflow():
    x = str(lru_cache(workflow))
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
