# expect: error
# tries: an import that fails silently
# class: imports
try:
    import os as y
except ImportError:
    y = 1
def workflow():
    x = y
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
