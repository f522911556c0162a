# expect: error
# tries: __name__ assigned
# class: builtins
__name__ = 'os'
def workflow():
    x = 1
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
