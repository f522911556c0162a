# expect: error
# tries: the name super given to something else
# class: classes
super = print
def workflow():
    x = 1
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
