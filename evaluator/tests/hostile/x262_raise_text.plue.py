# expect: error
# tries: raising a text
# class: exceptions
def workflow():
    raise 'x'
