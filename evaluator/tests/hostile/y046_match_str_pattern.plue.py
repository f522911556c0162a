# expect: error
# tries: positional class patterns of a class with __match_args__
# class: classes
class K:
    __match_args__ = ("__class__", "__dict__")
def workflow():
    match K():
        case K(a, b):
            x = a
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", str(x))])
