# expect: error
# tries: a class pattern that captures str.format
# class: format strings
def m():
    match 'x':
        case str(format=f):
            return f('{0.__class__}', 1)
def workflow():
    x = m()
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
