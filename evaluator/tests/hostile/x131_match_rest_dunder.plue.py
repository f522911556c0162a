# expect: error
# tries: a dunder as the rest of a mapping
# class: builtins
match {}:
    case {**__x__}:
        pass
def workflow():
    x = 1
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(x)[:5000] or "empty")])
