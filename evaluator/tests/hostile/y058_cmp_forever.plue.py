# expect: killed|error
# tries: a comparison that never ends inside sorted
# class: resources
class A:
    def __lt__(self, other):
        while True:
            pass
def workflow():
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", str(sorted([A(), A()])))])
