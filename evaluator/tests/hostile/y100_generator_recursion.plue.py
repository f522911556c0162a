# expect: error|killed
# tries: a generator that yields from itself
# class: resources
def g():
    yield from g()
def workflow():
    list(g())
