# expect: error
# tries: the builtin exit
# class: builtins
def workflow():
    x = exit()
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
