# expect: error
# tries: a dunder as a keyword
# class: builtins
def workflow():
    x = dict(__class__=1)
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
