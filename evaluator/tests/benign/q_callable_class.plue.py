# expect: ok
# callable class
class A:
    def __call__(self, n):
        return Step.bash(n, 'x')
def workflow():
    return Plan('x', steps=list(map(A(), ['a', 'b'])))
