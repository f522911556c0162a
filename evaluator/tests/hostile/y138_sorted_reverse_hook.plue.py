# expect: error|ok
# tries: a reverse= that runs code
# class: builtins
class A:
    def __bool__(self):
        raise SystemError("x")
def workflow():
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", str(sorted([1], reverse=A())))])
