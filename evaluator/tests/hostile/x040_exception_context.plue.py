# expect: error
# tries: the context of an exception
# class: frames
def c():
    try:
        1 / 0
    except Exception as e:
        return e.__context__
def workflow():
    x = c()
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
