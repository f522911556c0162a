# expect: error
# tries: a branch by position
# class: plan
def workflow():
    return Plan("x", triggers=[Trigger.on_push("main")], steps=[Step.bash("a", "true")])
