# expect: error
# tries: the builtin help
# class: builtins
def workflow():
    x = help()
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
