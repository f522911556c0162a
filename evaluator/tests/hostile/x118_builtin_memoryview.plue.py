# expect: error
# tries: the builtin memoryview
# class: builtins
def workflow():
    x = memoryview(b'x')
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
