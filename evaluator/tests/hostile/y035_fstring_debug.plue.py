# expect: error
# tries: the = of an f-string with a dunder
# class: format strings
def workflow():
    x = f"{().__class__=}"
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", x)])
