# expect: error
# tries: a __format__ that walks with the given spec
# class: format strings
class A:
    def __format__(self, spec):
        return str(getattr(self, spec))
def workflow():
    x = f"{A():__class__}"
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", x)])
