# expect: error
# tries: too many plans
# class: plan
def workflow():
    return [Plan("x", steps=[Step.bash("a", "true")])] * 300
