# expect: error
# tries: an error inside hash
# class: exceptions
class H:
    def __hash__(self):
        raise ValueError('h')
def workflow():
    return {H(): 1}
