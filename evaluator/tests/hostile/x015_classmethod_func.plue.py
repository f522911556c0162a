# expect: error
# tries: the function behind a classmethod
# class: attribute walk
class C:
    @classmethod
    def m(cls):
        return 1
def workflow():
    x = C.m.__func__
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
