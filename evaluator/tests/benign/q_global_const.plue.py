# expect: ok
# global const
import math
from math import ceil, floor
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str((ceil(2.1), math.sqrt(16), math.inf > 1, math.gcd(4, 6), round(math.log(math.e))))[:500] or "e")])
