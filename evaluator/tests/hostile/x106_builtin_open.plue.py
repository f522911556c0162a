# expect: error
# tries: the builtin open
# class: builtins
def workflow():
    x = open('/etc/passwd')
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
