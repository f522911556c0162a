# expect: error
# tries: steps made from a set
# class: determinism
def workflow():
    return Plan('x', steps=[Step.bash(s, 'x') for s in {'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'}])
