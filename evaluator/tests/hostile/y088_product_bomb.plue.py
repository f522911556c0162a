# expect: error|killed
# tries: product with a repeat of a million
# class: resources
from itertools import product
def workflow():
    x = product(range(1000), repeat=100_000_000)
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", str(x))])
