# expect: error|killed
# tries: json.loads of a number of a million digits
# class: resources
import json
def workflow():
    x = json.loads("1" * 1_000_000)
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", str(x))])
