# expect: error
# tries: a dunder as a positional-only parameter
# class: builtins
def g(__import__, /):
    return __import__
def workflow():
    x = 1
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
