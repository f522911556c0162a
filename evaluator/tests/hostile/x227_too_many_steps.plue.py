# expect: error
# tries: too many steps
# class: plan
def workflow():
    return Plan("x", steps=[Step.bash(f"s{i}", "1") for i in range(6000)])
