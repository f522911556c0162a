# expect: error
# tries: poison NamedTuple for others
# class: imports
from typing import NamedTuple
NamedTuple._bases = (int,)
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(1)[:500] or "e")])
