# expect: error
# tries: throwing into a generator
# class: exceptions
def gen():
    yield 1
def workflow():
    g = gen()
    next(g)
    g.throw(ValueError('x'))
