# expect: error
# tries: global __builtins__
# class: bindings
def workflow():
    global __builtins__
    __builtins__ = {}
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", "x")])
