# expect: error
# tries: the builtin exec
# class: builtins
def workflow():
    x = exec('1')
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
