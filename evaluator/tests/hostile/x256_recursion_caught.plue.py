# expect: error
# tries: endless recursion that catches itself
# class: exceptions
def workflow():
    try:
        return workflow()
    except RecursionError:
        raise
