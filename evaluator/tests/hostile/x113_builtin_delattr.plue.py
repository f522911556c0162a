# expect: error
# tries: the builtin delattr
# class: builtins
def workflow():
    x = delattr(workflow, 'x')
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
