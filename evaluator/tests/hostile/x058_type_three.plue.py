# expect: error
# tries: type with three arguments
# class: classes
def workflow():
    x = type("X", (), {})
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
