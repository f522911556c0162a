# expect: error
# tries: string.Formatter
# class: format strings
import string
def workflow():
    x = string.Formatter().format("{0.__class__}", 1)
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
