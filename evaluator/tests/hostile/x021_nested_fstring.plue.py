# expect: error
# tries: a dunder walk inside a nested format specification
# class: attribute walk
def workflow():
    x = f"{1:{().__class__}}"
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
