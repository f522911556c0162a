# expect: ok
# the smallest plan
def workflow(): return Plan("x", steps=[Step.bash("a", "true")])
