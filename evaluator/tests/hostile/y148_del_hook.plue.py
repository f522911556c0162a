# expect: error
# tries: a __del__ that runs after the plan
# class: classes
class A:
    def __del__(self):
        while True:
            pass
def workflow():
    a = A()
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", "x")])
