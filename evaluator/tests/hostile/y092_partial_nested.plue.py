# expect: killed|error
# tries: partial of partial, called
# class: resources
from functools import partial
class A:
    def __call__(self, *a, **k):
        return self.f(*a, **k)
def workflow():
    a = A()
    a.f = partial(a, 1)
    a()
