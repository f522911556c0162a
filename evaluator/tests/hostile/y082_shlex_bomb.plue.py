# expect: error|killed
# tries: shlex.split of 60 MB
# class: resources
import shlex
def workflow():
    x = shlex.split("a " * 30_000_000)
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", str(len(x)))])
