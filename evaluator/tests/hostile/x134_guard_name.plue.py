# expect: error
# tries: the name of the format guard
# class: builtins
def workflow():
    x = __plue_format__("{}", 1)
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
