# expect: error|killed
# tries: 100,000 steps
# class: plan
def workflow():
    return Plan(name="x", steps=[Step.bash(f"s{n}", "x") for n in range(100_000)])
