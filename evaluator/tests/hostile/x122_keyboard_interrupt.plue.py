# expect: error
# tries: KeyboardInterrupt
# class: builtins
raise KeyboardInterrupt
def workflow():
    x = 1
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
