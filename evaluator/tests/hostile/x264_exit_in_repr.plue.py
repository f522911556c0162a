# expect: error
# tries: an error inside repr during print
# class: exceptions
class R:
    def __repr__(self):
        raise ValueError('in repr')
def workflow():
    print(R())
