# expect: error|killed
# tries: json.loads of deep nesting
# class: resources
import json
def workflow():
    x = json.loads("[" * 100_000 + "]" * 100_000)
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", str(x))])
