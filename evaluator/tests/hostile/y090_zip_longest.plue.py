# expect: killed|error
# tries: chain of chains, nested a hundred thousand deep
# class: resources
from itertools import chain
def workflow():
    x = iter([1])
    for _ in range(500_000):
        x = chain(x)
    next(x)
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", "x")])
