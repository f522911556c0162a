# expect: ok
# itertools in common forms
from itertools import accumulate, chain, combinations, count, cycle, groupby, islice, pairwise, permutations, repeat, takewhile, zip_longest


def workflow():
    names = list(islice((f"s{i}" for i in count(1)), 3))
    edges = list(pairwise(names))
    groups = {k: list(v) for k, v in groupby(sorted(["ab", "ac", "b"]), key=lambda s: s[0])}
    text = [list(accumulate([1, 2, 3])), list(combinations("abc", 2))[0], len(list(permutations("abc"))), list(islice(cycle("ab"), 3)),
            list(repeat(1, 2)), list(takewhile(lambda x: x < 3, count())), list(zip_longest("ab", "c", fillvalue="-")), groups]
    steps = [Step.bash(n, "true", depends_on=[a for a, b in edges if b == n]) for n in names]
    flat = list(chain.from_iterable([steps, [Step.bash("z", f"echo \"{len(text)}\"")]]))
    return Plan(name="Itertools", steps=flat)
