# expect: error
# tries: the text of a bound method
# class: determinism
class C:
    def m(self):
        pass
def workflow():
    x = str(C().m)
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
