# expect: error
# tries: the builtin setattr
# class: builtins
def workflow():
    x = setattr(workflow, 'x', 1)
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
