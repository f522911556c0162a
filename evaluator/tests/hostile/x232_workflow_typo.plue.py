# expect: error
# tries: a misspelt workflow
# class: plan
def worklfow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", "true")])
