# expect: error
# tries: deriving from SystemExit by type()
# class: exceptions
class E(Exception):
    pass
def workflow():
    raise type(E()).mro()[1]
