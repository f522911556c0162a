# expect: error
# tries: a keyword argument in fullwidth letters
# class: source
def workflow():
    return Plan(name="x", steps=[Step.bash("a", ｒｕｎ="x")])
