# expect: error
# tries: an unknown time zone
# class: plan
def workflow():
    return Plan("x", triggers=[Trigger.on_schedule("* * * * *", tz="Mars/Base")], steps=[Step.bash("a", "true")])
