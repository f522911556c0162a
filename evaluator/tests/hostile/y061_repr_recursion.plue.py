# expect: error|killed
# tries: a __repr__ that shows itself twice
# class: resources
class A:
    def __repr__(self):
        return repr(self) + repr(self)
def workflow():
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", repr(A()))])
