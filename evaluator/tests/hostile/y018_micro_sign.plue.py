# expect: error
# tries: MICRO SIGN, which NFKC makes GREEK MU
# class: source
def workflow():
    µ = 1
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", "x")])
