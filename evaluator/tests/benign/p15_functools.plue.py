# expect: ok
# lru_cache, cache, partial, reduce, cmp_to_key, wraps, total_ordering
import functools
from functools import cache, cmp_to_key, lru_cache, partial, reduce, total_ordering, wraps


@lru_cache(maxsize=None)
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


@cache
def name(i):
    return f"s{i}"


def logged(function):
    @wraps(function)
    def inner(*args, **kwargs):
        print("call", function.__name__)
        return function(*args, **kwargs)
    return inner


@logged
def make(i):
    """Makes a step."""
    return Step.bash(name(i), f"echo {fib(i)}")


@total_ordering
class V:
    def __init__(self, n):
        self.n = n

    def __eq__(self, other):
        return self.n == other.n

    def __lt__(self, other):
        return self.n < other.n


def workflow():
    assert make.__name__ == "make" and make.__doc__ == "Makes a step." and V(1) <= V(2)
    total = reduce(lambda a, b: a + b, range(5), 0)
    bash = partial(Step.bash, timeout="5m")
    order = sorted([3, 1, 2], key=cmp_to_key(lambda a, b: b - a))
    steps = [make(i) for i in order] + [bash("total", f"echo {total}")]
    assert functools.partial(int, base=2)("101") == 5
    return Plan(name="Functools", steps=steps)
