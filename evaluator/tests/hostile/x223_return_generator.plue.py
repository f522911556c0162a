# expect: error
# tries: a generator
# class: plan
def workflow():
    return (Plan("x", steps=[Step.bash("a", "true")]) for _ in range(2))
