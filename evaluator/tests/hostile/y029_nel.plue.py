# expect: error|ok
# tries: NEXT LINE in a comment, which some take for a line end
# class: source
def workflow():
    x = 1 # a    x = ().__class__
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", str(x))])
