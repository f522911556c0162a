# expect: error
# tries: a branch with ..
# class: plan
def workflow():
    return Plan("x", triggers=[Trigger.on_push(branch="a..b")], steps=[Step.bash("a", "true")])
