# expect: error|killed
# tries: an __eq__ that compares itself
# class: resources
class A:
    def __eq__(self, other):
        return self == other
def workflow():
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", str(A() == A()))])
