# expect: ok
# string mod
import string
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str((string.capwords('a b'), string.Template('$a ${b}').safe_substitute(a=1)))[:500] or "e")])
