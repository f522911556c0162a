# expect: error
# tries: except*
# class: source
try:
    pass
except* ValueError:
    pass
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", "true")])
