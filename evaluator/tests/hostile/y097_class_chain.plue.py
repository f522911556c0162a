# expect: killed|error
# tries: a chain of 100,000 subclasses
# class: resources
def workflow():
    class A: pass
    for _ in range(100_000):
        class A(A): pass
