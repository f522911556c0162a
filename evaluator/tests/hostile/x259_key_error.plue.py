# expect: error
# tries: a missing key
# class: exceptions
def workflow():
    return {}['x']
