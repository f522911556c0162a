# expect: error
# tries: a bad cron expression
# class: plan
def workflow():
    return Plan("x", triggers=[Trigger.on_schedule("every day")], steps=[Step.bash("a", "true")])
