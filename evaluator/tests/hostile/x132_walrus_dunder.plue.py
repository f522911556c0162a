# expect: error
# tries: a dunder by walrus
# class: builtins
def workflow():
    x = (__build_class__ := 1)
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
