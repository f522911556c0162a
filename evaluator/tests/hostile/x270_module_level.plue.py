# expect: error
# tries: an exception at module level
# class: exceptions
1 / 0
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", "true")])
