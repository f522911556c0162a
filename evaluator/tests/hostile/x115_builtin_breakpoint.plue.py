# expect: error
# tries: the builtin breakpoint
# class: builtins
def workflow():
    x = breakpoint()
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
