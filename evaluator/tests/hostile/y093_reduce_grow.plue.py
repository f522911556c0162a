# expect: killed|error
# tries: reduce that doubles a list
# class: resources
from functools import reduce
def workflow():
    x = reduce(lambda a, _: a + a, range(64), [1])
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", str(len(x)))])
