# expect: error
# tries: a value that contains itself
# class: plan
V = []
V.append(V)
def workflow():
    return Plan("x", steps=[Step.plugin("a", "k", v=V)])
