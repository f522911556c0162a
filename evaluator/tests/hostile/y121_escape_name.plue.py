# expect: error|ok
# tries: terminal escapes in the name of a plan
# class: plan
def workflow():
    return Plan(name="\x1b]0;owned\x07\x1b[2J", steps=[Step.bash("a", "x")])
