# expect: ok
# total ordering
from functools import total_ordering
@total_ordering
class V:
    def __init__(self, s):
        self.t = tuple(map(int, s.split('.')))
    def __eq__(self, o):
        return self.t == o.t
    def __lt__(self, o):
        return self.t < o.t
    def __hash__(self):
        return hash(self.t)
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str([v.t for v in sorted([V('1.10'), V('1.9')])])[:500] or "e")])
