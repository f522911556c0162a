# expect: killed|error
# tries: a cache that keeps everything
# class: resources
from functools import lru_cache
@lru_cache(maxsize=None)
def g(n):
    return "x" * n
def workflow():
    n = 0
    while True:
        n += 1000
        g(n)
