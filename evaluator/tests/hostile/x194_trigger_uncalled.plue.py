# expect: error
# tries: a trigger that is not called
# class: plan
def workflow():
    return Plan("x", triggers=[Trigger.on_push], steps=[Step.bash("a", "true")])
