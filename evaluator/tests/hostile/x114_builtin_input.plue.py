# expect: error
# tries: the builtin input
# class: builtins
def workflow():
    x = input()
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
