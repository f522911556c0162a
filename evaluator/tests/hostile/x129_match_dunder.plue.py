# expect: error
# tries: a dunder as a capture
# class: builtins
match 1:
    case __builtins__:
        pass
def workflow():
    x = 1
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
