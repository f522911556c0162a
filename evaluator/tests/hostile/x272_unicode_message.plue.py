# expect: error
# tries: half a character in a message
# class: exceptions
def workflow():
    raise ValueError('\ud800')
