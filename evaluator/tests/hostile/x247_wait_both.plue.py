# expect: error
# tries: an event and a duration
# class: plan
def workflow():
    return Plan("x", steps=[Step.wait("a", Trigger.on_push(), duration="5m")])
