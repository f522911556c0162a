# expect: error
# tries: attribute walk in the format spec of an f-string
# class: format strings
def workflow():
    x = f"{1:{().__class__}}"
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", x)])
