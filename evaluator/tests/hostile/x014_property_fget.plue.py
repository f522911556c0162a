# expect: error
# tries: the function behind a property
# class: attribute walk
class C:
    @property
    def p(self):
        return 1
def workflow():
    x = C.p.fget.__globals__
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
