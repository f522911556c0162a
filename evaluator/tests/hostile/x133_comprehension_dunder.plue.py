# expect: error
# tries: a dunder as a comprehension's variable
# class: builtins
def workflow():
    x = [__x__ for __x__ in [1]]
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
