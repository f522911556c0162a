# expect: error
# tries: a dunder as the name of an exception
# class: builtins
try:
    pass
except Exception as __builtins__:
    pass
def workflow():
    x = 1
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
