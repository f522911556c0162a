# expect: ok
# chained cmp
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str((1 < 2 < 3, not None, 5 if [] else 6, [i for i in range(10) if i % 2][::-1], (lambda *a: a)(*[1], *(2,)), {**{}}, [*range(2)], 0x1F, 1_000, 0b11, 1e3, 'a' 'b', r'\d', b'x'))[:500] or "e")])
