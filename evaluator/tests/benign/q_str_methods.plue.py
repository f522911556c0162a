# expect: ok
# str methods
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(('a,b'.split(','), 'x'.center(5, '*'), 'aB'.swapcase(), 'a-b'.partition('-'), 'x'.zfill(3), 'abc'.translate(str.maketrans('a', 'z')), 'ß'.casefold(), 'tests'.removeprefix('t').removesuffix('s')))[:500] or "e")])
