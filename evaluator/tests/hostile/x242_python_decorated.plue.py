# expect: error
# tries: a decorated function as code
# class: plan
from functools import cache
@cache
def go():
    import os
def workflow():
    return Plan("x", steps=[Step.python("a", go)])
