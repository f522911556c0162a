# expect: ok
# typeddict req
from typing import TypedDict, NotRequired, Required
class A(TypedDict):
    a: str
    b: NotRequired[int]
class B(A, total=False):
    c: int
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(B(a='x', c=1))[:500] or "e")])
