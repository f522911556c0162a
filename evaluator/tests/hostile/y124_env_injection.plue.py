# expect: error
# tries: an environment name with = and a NUL
# class: plan
def workflow():
    return Plan(name="x", steps=[Step.bash("a", "x", env={"LD_PRELOAD=x\0": "y"})])
