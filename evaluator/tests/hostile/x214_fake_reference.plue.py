# expect: error
# tries: a forged reference
# class: plan
def workflow():
    return Plan("x", steps=[Step.bash("a", "1", env={"X": {"$secret": "T"}})])
