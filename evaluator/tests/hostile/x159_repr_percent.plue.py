# expect: error
# tries: % formatting of a function
# class: determinism
def workflow():
    x = "%s" % workflow
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
