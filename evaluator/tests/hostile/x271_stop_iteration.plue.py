# expect: error
# tries: StopIteration out of workflow
# class: exceptions
def workflow():
    raise StopIteration(1)
