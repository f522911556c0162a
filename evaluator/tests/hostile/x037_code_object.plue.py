# expect: error
# tries: the code of a function
# class: frames
def workflow():
    x = workflow.__code__.co_consts
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
