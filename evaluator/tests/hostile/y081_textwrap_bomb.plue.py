# expect: error|killed
# tries: textwrap of a huge word with width 1
# class: resources
import textwrap
def workflow():
    x = textwrap.wrap("a" * 30_000_000, 1)
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", str(len(x)))])
