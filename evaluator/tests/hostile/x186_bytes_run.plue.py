# expect: error
# tries: bytes as a command
# class: plan
def workflow():
    return Plan("x", steps=[Step.bash("a", b"ls")])
