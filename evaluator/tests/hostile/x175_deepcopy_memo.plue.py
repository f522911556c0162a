# expect: error
# tries: the addresses in deepcopy's memo
# class: determinism
import copy
def m():
    d = {}
    copy.deepcopy([1], d)
    return list(d)
def workflow():
    x = m()
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
