# expect: ok
# complex slices
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(([1,2,3][-1], 'abc'[::-1], [1,2,3][slice(0, 2)], bytes(3), list(range(0, 10, 3))))[:500] or "e")])
