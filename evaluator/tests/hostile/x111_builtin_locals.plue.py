# expect: error
# tries: the builtin locals
# class: builtins
def workflow():
    x = locals()
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
