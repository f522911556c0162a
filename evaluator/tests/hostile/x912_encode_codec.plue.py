# expect: error
# tries: a codec that is a module
# class: imports
def workflow():
    return Plan('x', steps=[Step.bash('a', 'x'.encode('rot13').decode())])
