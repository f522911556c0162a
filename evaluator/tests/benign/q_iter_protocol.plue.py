# expect: ok
# iter protocol
class R:
    def __init__(self, n):
        self.n = n
    def __iter__(self):
        self.i = 0
        return self
    def __next__(self):
        if self.i >= self.n:
            raise StopIteration
        self.i += 1
        return self.i
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str([*R(3)])[:500] or "e")])
