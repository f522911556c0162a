# expect: error
# tries: a syntax error
# class: source
def workflow(:
    return Plan(name="x", triggers=[], steps=[Step.bash("a", "true")])
