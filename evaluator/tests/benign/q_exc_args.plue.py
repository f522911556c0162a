# expect: ok
# exc args
def workflow():
    try:
        raise ValueError('a', 1)
    except ValueError as e:
        m, n = e.args
    return Plan(m, steps=[Step.bash('a', 'b')])
