# expect: error
# tries: the metaclass through type[int], which could be called
# class: classes
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(type[int]("X", (), {}))[:500] or "e")])
