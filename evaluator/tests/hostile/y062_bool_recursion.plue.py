# expect: error|killed
# tries: a __bool__ that asks itself
# class: resources
class A:
    def __bool__(self):
        return not self
def workflow():
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", str(bool(A())))])
