# expect: error
# tries: the traceback of an exception
# class: frames
def e():
    try:
        1 / 0
    except Exception as x:
        return x.__traceback__.tb_frame
def workflow():
    x = e()
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
