# expect: error|killed
# tries: expandtabs with a huge width
# class: resources
def workflow():
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", "\t\t".expandtabs(2_000_000_000))])
