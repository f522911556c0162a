# expect: error
# tries: an unknown on_failure
# class: plan
def workflow():
    return Plan("x", steps=[Step.bash("a", "1", on_failure="ignore")])
