# expect: error
# tries: an undefined name
# class: exceptions
def workflow():
    return Plam('x')
