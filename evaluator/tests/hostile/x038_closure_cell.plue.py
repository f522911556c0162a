# expect: error
# tries: the cells of a closure
# class: frames
def f(x):
    return lambda: x
def workflow():
    x = f(1).__closure__[0].cell_contents
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
