# expect: ok
# enum str mixin
from enum import Enum
class E(str, Enum):
    A = 'a'
def workflow():
    return Plan(name=E.A, steps=[Step.bash(E.A.value, 'x')])
