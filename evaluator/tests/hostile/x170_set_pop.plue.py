# expect: error
# tries: pop of a set
# class: determinism
S = set('abcdefghijklmnopqrstuvwxyz')
def workflow():
    x = sorted(S, key=lambda s: 0)
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
