# expect: ok
# star unpack
def workflow():
    a, (b, *c), d = 1, (2, 3, 4), 5
    (x := 3)
    return Plan('x', steps=[Step.bash('a', f'{a}{b}{c}{d}{x}')])
