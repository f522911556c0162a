# expect: error
# tries: any attribute access in a template
# class: format strings
def workflow():
    x = "{0.real}".format(1)
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
