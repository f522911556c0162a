# expect: ok
# assert msg
def workflow():
    assert True, 'x'
    return Plan('x', steps=[Step.bash('a', 'b')])
