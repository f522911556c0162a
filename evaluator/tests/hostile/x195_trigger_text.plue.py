# expect: error
# tries: a text as a trigger
# class: plan
def workflow():
    return Plan("x", triggers=["push"], steps=[Step.bash("a", "true")])
