# expect: error
# tries: a plan whose steps are itself
# class: plan
def workflow():
    p = Plan(name="x", steps=[])
    return Plan(name="x", steps=[p])
