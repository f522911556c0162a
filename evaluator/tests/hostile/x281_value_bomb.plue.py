# expect: killed|error
# tries: a value of a billion shared nodes
# class: resources
V = 'lol'
for _ in range(9):
    V = [V] * 10
def workflow():
    return Plan('x', steps=[Step.plugin('a', 'k', v=V)])
