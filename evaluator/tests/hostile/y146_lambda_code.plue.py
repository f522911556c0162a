# expect: error
# tries: the code of a lambda through a default argument
# class: frames
def workflow(x=(lambda: 0).__code__):
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", str(x))])
