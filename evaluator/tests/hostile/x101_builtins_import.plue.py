# expect: error
# tries: __builtins__['__import__']
# class: imports
def workflow():
    x = __builtins__["__import__"]("os")
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
