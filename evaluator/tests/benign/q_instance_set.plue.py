# expect: ok
# instance set
class A:
    pass
X = [A() for _ in range(5)]
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(len(set(X)))[:500] or "e")])
