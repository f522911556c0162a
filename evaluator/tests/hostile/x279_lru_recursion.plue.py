# expect: killed|error
# tries: recursion through a cached function in C
# class: resources
from functools import lru_cache
@lru_cache(maxsize=None)
def f(n):
    return f(n + 1)
def workflow():
    return f(0)
