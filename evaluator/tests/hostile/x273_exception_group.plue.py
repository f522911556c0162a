# expect: error
# tries: an exception group
# class: exceptions
def workflow():
    raise ExceptionGroup('x', [ValueError()])
