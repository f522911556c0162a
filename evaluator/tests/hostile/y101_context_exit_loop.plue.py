# expect: killed|error
# tries: an __exit__ that starts again
# class: resources
class A:
    def __enter__(self):
        return self
    def __exit__(self, *a):
        while True:
            with A():
                pass
def workflow():
    with A():
        raise ValueError
