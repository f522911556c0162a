# expect: error
# tries: the builtin vars
# class: builtins
def workflow():
    x = vars()
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
