# expect: error
# tries: a dunder attribute as the target of with
# class: attribute walk
class C:
    def __enter__(self):
        return 1
    def __exit__(self, *a):
        pass
with C() as C.__dict__:
    pass
def workflow():
    x = 1
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
