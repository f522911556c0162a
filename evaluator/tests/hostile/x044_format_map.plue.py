# expect: error
# tries: format_map
# class: format strings
def workflow():
    x = "{a.__class__}".format_map({"a": 1})
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
