# expect: ok
# generators, yield from, send, next with default, enumerate, zip, reversed
def chain(names):
    previous = []
    for name in names:
        yield Step.bash(name, f"make {name}", depends_on=previous)
        previous = [name]


def both():
    yield from chain(["a", "b"])
    yield from chain(["c", "d"])


def counter():
    total = 0
    while True:
        got = yield total
        total += got or 1


def workflow():
    c = counter()
    next(c)
    c.send(4)
    steps = list(both())
    pairs = list(zip(range(3), reversed("xyz"), strict=True))
    steps.append(Step.bash("sum", f"echo {next(c)} {pairs[0][1]} {next(iter([]), 'none')}"))
    return Plan(name="Generators", steps=steps)
