# expect: error|killed
# tries: tee into 100 million
# class: resources
from itertools import tee
def workflow():
    x = tee([1], 100_000_000)
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", str(len(x)))])
