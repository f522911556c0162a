# expect: error
# tries: the text of a lambda in an f-string
# class: determinism
def workflow():
    x = f"{(lambda: 0)}"
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
