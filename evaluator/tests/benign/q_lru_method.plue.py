# expect: ok
# lru method
from functools import lru_cache
class A:
    @lru_cache(maxsize=8)
    def f(self, n):
        return n * 2
    @staticmethod
    @lru_cache
    def g(n):
        return n
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str((A().f(2), A.g(1)))[:500] or "e")])
