# expect: ok
# type alias
Jobs = dict[str, list[tuple[str, ...]]]
X: Jobs = {}
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(X)[:500] or "e")])
