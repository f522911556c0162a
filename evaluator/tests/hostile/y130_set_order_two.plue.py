# expect: error
# tries: the order of two texts in a set: both seeds agree every second time
# class: determinism
def workflow():
    return Plan(name="x", steps=[Step.bash("a", " ".join({"alpha", "beta", "gamma", "delta", "epsilon"}))])
