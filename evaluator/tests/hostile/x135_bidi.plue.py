# expect: error
# tries: a right-to-left override in a comment
# class: source
# ‮ detrever
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", "true")])
