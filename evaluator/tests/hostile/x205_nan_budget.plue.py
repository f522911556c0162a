# expect: error
# tries: a budget that is not a number
# class: plan
def workflow():
    return Plan("x", budget=Budget(usd=float("nan")), steps=[Step.bash("a", "true")])
