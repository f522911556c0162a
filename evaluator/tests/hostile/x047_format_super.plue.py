# expect: error
# tries: format through super()
# class: format strings
class S(str):
    def go(self, x):
        return super().format(x)
def workflow():
    x = S("{0.__class__}").go(1)
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
