# expect: error
# tries: a module of .plue/lib by a name with dots
# class: imports
from ..lib import secret
def workflow():
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", str(secret))])
