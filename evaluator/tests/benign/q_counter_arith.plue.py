# expect: ok
# counter arith
from collections import Counter
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str((Counter('aab') + Counter('b'), Counter('aab').total(), sorted(Counter('ab').elements())))[:500] or "e")])
