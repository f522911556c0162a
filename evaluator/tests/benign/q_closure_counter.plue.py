# expect: ok
# closure counter
def f():
    n = [0]
    def g():
        n[0] += 1
        return n[0]
    return g
G = f()
G()
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(G())[:500] or "e")])
