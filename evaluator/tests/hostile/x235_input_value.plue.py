# expect: error
# tries: a plain value as an input
# class: plan
def workflow():
    return Plan("x", inputs={"a": "b"}, steps=[Step.bash("a", "true")])
