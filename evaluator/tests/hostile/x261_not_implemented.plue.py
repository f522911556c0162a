# expect: error
# tries: NotImplementedError
# class: exceptions
def workflow():
    raise NotImplementedError
