# expect: error
# tries: the builtin id
# class: builtins
def workflow():
    x = id(1)
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
