# expect: error
# tries: a zero-width space in a string
# class: source
X = "a​b"
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", "true")])
