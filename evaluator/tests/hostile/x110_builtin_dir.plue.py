# expect: error
# tries: the builtin dir
# class: builtins
def workflow():
    x = dir()
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
