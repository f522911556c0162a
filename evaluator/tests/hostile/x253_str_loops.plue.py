# expect: error
# tries: an exception whose text recurses
# class: exceptions
class E(Exception):
    def __str__(self):
        return str(self)
def workflow():
    raise E
