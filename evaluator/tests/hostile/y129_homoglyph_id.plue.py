# expect: error
# tries: a Cyrillic letter in a step id
# class: plan
def workflow():
    return Plan(name="x", steps=[Step.bash("\u0430", "x")])
