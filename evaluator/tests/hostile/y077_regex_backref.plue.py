# expect: killed|error
# tries: back references that explode
# class: resources
import re
def workflow():
    re.search(r"(a+)+(a+)+(a+)+\3\2\1$", "a" * 60 + "b")
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", "x")])
