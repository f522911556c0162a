# expect: error|killed
# tries: one text of 1 MB in 1,000 steps
# class: plan
def workflow():
    t = "x" * 1_000_000
    return Plan(name="x", steps=[Step.bash(f"s{n}", t) for n in range(1000)])
