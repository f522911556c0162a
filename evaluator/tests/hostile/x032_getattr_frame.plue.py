# expect: error
# tries: the same by getattr
# class: frames
def workflow():
    x = getattr((i for i in [1]), "gi_fr" + "ame")
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
