# expect: error
# tries: endless recursion
# class: exceptions
def workflow():
    return workflow()
