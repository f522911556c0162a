# expect: ok
# decorators
REG = []
def step(*needs):
    def deco(fn):
        REG.append((fn.__name__, fn.__doc__, needs))
        return fn
    return deco
@step()
def lint():
    'make lint'
@step('lint')
def test():
    'make test'
def workflow():
    return Plan('x', steps=[Step.bash(n, d, depends_on=list(k)) for n, d, k in REG])
