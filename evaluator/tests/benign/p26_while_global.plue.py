# expect: ok
# while, break, continue, else, global, nonlocal, lambda, star arguments, defaults
COUNT = 0


def bump(by=1, /, *, times=1, **labels):
    global COUNT
    COUNT += by * times
    return labels


def make_counter():
    n = 0

    def inner():
        nonlocal n
        n += 1
        return n

    return inner


def collect(*names, sep="-"):
    return sep.join(names)


def workflow():
    counter = make_counter()
    while True:
        if counter() > 3:
            break
        if COUNT:
            continue
        bump(2, times=2, kind="x")
    else:
        raise RuntimeError("unreachable")
    for i in range(3):
        pass
    else:
        i += 10
    square = lambda x: x ** 2
    del counter
    return Plan(name="Control", steps=[Step.bash("a", f"echo {COUNT} {i} {square(4)} {collect('a', 'b', sep='+')}")])
