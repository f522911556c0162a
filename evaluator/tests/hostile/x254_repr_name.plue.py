# expect: error
# tries: an exception with a forged name
# class: exceptions
class E(Exception):
    pass
E.__name__ = 'KeyError'
def workflow():
    raise E('x')
