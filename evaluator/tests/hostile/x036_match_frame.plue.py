# expect: error
# tries: a class pattern on a frame's attribute
# class: frames
def g():
    match (i for i in [1]):
        case object(gi_frame=f):
            return f
def workflow():
    x = g()
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
