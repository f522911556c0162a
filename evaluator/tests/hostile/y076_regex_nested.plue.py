# expect: killed|error
# tries: nested quantifiers
# class: resources
import re
def workflow():
    re.match(r"(?:(?:a*)*)*b", "a" * 40)
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", "x")])
