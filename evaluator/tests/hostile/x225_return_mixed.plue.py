# expect: error
# tries: a list of a plan and a text
# class: plan
def workflow():
    return [Plan("x", steps=[Step.bash("a", "true")]), "y"]
