# expect: error|killed
# tries: an iterator that never ends, given to steps
# class: resources
class A:
    def __iter__(self):
        return self
    def __next__(self):
        return Step.bash("a", "x")
def workflow():
    return Plan(name="x", steps=list(A()))
