# expect: error
# tries: walrus in a comprehension to a dunder
# class: bindings
def workflow():
    x = [__builtins__ := n for n in range(3)]
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", str(x))])
