# expect: ok
# optional pipe
def f(a: int | None = None, *args: str, **kw: dict[str, list[int]]) -> 'Step':
    return a
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(f(1))[:500] or "e")])
