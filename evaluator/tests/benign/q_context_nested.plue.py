# expect: ok
# context nested
class Group:
    def __init__(self, steps):
        self.steps = steps
    def __enter__(self):
        return self
    def __exit__(self, *exc):
        return False
    def add(self, *a, **k):
        self.steps.append(Step.bash(*a, **k))
def workflow():
    steps = []
    with Group(steps) as g:
        g.add('a', 'x')
        g.add('b', 'y', depends_on=['a'])
    return Plan('x', steps=steps)
