# expect: error
# tries: a terminal escape in a comment
# class: source
# [2J
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", "true")])
