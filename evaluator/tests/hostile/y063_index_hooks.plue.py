# expect: error|killed
# tries: an __index__ that grows what is indexed
# class: resources
L = []
class A:
    def __index__(self):
        L.append("x" * 1_000_000)
        return 0
def workflow():
    while True:
        range(A())
