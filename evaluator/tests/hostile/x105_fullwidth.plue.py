# expect: error
# tries: an import in full-width letters
# class: imports
import ｏｓ
def workflow():
    x = 1
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
