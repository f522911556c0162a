# expect: error|killed
# tries: pow with huge operands
# class: resources
def workflow():
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", str(pow(7, 10**6000, 10**6000 + 1) % 7))])
