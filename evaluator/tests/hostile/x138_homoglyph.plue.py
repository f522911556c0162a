# expect: error
# tries: a Cyrillic letter in a name
# class: source
def workflоw():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", "true")])
