# expect: error
# tries: an exception whose text raises
# class: exceptions
class E(Exception):
    def __str__(self):
        raise ValueError('inner')
def workflow():
    raise E
