# expect: error
# tries: a match value with a dunder
# class: classes
class K:
    pass
def workflow():
    match {"a": 1}:
        case {K.__name__: x}:
            pass
        case {"a": K.__dict__}:
            pass
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", "x")])
