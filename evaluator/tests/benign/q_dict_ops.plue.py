# expect: ok
# dict ops
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(({'a': 1} | {'b': 2}, dict.fromkeys('ab', 0), {k: v for k, v in zip('ab', [1, 2])}, {'a': 1}.items() & {('a', 1)}))[:500] or "e")])
