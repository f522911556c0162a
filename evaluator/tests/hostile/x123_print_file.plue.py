# expect: error
# tries: print to a file object
# class: builtins
class W:
    def write(self, t):
        return 1
def workflow():
    x = print("x", file=W())
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
