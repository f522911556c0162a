# expect: ok
# generic box
from typing import Generic, TypeVar
T = TypeVar('T', bound='Box')
class Box(Generic[T]):
    def __init__(self, x: T):
        self.x = x
    def get(self) -> T:
        return self.x
class IntBox(Box[int]):
    pass
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(IntBox(3).get())[:500] or "e")])
