# expect: error
# tries: the builtin bytearray
# class: builtins
def workflow():
    x = bytearray(1)
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
