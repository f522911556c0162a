# expect: ok
# lambda default
FS = [lambda x, i=i: x * i for i in range(3)]
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str([f(2) for f in FS])[:500] or "e")])
