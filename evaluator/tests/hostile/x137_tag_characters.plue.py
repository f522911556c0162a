# expect: error
# tries: tag characters in a string
# class: source
X = "a󠁁"
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", "true")])
