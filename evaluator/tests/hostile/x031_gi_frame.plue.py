# expect: error
# tries: the frame of a generator
# class: frames
def workflow():
    x = (i for i in [1]).gi_frame.f_back.f_globals
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
