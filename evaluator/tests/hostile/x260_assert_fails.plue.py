# expect: error
# tries: a failing assertion
# class: exceptions
def workflow():
    assert 1 == 2, 'no'
