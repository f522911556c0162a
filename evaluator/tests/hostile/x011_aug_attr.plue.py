# expect: error
# tries: augmented assignment to a dunder attribute
# class: attribute walk
class C:
    pass
C.__doc__ += 'x'
def workflow():
    x = 1
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
