# expect: error
# tries: a value nested too deeply
# class: plan
V = 1
for _ in range(200):
    V = [V]
def workflow():
    return Plan("x", steps=[Step.plugin("a", "k", v=V)])
