# expect: error
# tries: an unknown misfire
# class: plan
def workflow():
    return Plan("x", triggers=[Trigger.on_schedule("* * * * *", misfire="never")], steps=[Step.bash("a", "true")])
