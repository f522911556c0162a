# expect: error|killed
# tries: math.factorial of ten million
# class: resources
import math
def workflow():
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", str(math.factorial(10_000_000) % 7))])
