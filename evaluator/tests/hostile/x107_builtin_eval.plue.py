# expect: error
# tries: the builtin eval
# class: builtins
def workflow():
    x = eval('1')
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
