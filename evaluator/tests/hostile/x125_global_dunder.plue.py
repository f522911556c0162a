# expect: error
# tries: a dunder made global
# class: builtins
def g():
    global __builtins__
    __builtins__ = {}
g()
def workflow():
    x = 1
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
