# expect: error
# tries: bytes that are no UTF-8
# class: source
# ÿ
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", "true")])
