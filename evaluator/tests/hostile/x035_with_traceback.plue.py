# expect: error
# tries: with_traceback of an exception
# class: frames
def workflow():
    x = ValueError().with_traceback(None)
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
