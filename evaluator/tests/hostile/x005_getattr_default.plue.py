# expect: error
# tries: getattr with a default hides the refusal
# class: attribute walk
def workflow():
    x = getattr((), "__class__", None)
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
