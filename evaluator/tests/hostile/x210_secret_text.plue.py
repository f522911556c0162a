# expect: error
# tries: a secret pasted into a command
# class: plan
def workflow():
    return Plan("x", steps=[Step.bash("a", f"curl -H {secret('T')}")])
