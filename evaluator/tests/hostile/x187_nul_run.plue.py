# expect: error
# tries: NUL in a command
# class: plan
def workflow():
    return Plan("x", steps=[Step.bash("a", "a\0b")])
