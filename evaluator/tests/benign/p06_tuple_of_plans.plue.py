# expect: ok
# a tuple of plans from a module-level table
PLANS = {"a": "make a", "b": "make b"}


def workflow():
    return tuple(Plan(name, steps=[Step.bash("run", command)]) for name, command in PLANS.items())
