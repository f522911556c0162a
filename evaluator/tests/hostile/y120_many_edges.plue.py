# expect: error|killed|ok
# tries: every step depends on all before
# class: plan
def workflow():
    ids = [f"s{n}" for n in range(1500)]
    return Plan(name="x", steps=[Step.bash(i, "x", depends_on=ids[:n]) for n, i in enumerate(ids)])
