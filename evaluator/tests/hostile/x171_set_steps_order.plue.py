# expect: error
# tries: a set as depends_on
# class: determinism
S = Step.bash('z', 'x', depends_on={'a', 'b'})
def workflow():
    x = 1
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
