# expect: error|killed
# tries: math.comb and math.perm
# class: resources
import math
def workflow():
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", str(math.comb(10**7, 5 * 10**6) % 7))])
