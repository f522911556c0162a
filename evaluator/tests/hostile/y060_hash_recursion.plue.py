# expect: error|killed
# tries: a __hash__ that hashes itself
# class: resources
class A:
    def __hash__(self):
        return hash(self)
def workflow():
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", str({A()}))])
