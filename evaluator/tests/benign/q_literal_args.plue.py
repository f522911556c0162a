# expect: ok
# literal args
from typing import Literal, get_args
L = Literal['a', 'b']
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(list(get_args(L)))[:500] or "e")])
