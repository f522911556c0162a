# expect: error|ok
# tries: NaN as a key, twice
# class: determinism
def workflow():
    s = {float("nan") for _ in range(20)}
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", str(len(s)))])
