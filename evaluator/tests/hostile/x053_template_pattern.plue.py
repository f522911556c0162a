# expect: error
# tries: the environment through string.Template
# class: format strings
import string
def workflow():
    x = string.Template("$x").safe_substitute(x=1).__class__
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
