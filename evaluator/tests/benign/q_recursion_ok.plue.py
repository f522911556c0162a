# expect: ok
# recursion ok
def f(n):
    return n if n < 1 else f(n - 1)
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(f(500))[:500] or "e")])
