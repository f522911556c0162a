# expect: error
# tries: from __future__ import barry_as_FLUFL
# class: imports
from __future__ import barry_as_FLUFL
def workflow():
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", "x")])
