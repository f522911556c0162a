# expect: ok
# set ops sorted
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str((sorted({'a', 'b'} | {'c'}), len({1, 2} & {2}), {1, 2} <= {1, 2, 3}, sorted({'x'} ^ {'y'})))[:500] or "e")])
