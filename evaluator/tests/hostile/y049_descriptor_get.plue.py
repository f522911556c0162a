# expect: error
# tries: a descriptor that is handed the owner
# class: classes
class D:
    def __get__(self, instance, owner):
        return owner.__mro__
class A:
    x = D()
def workflow():
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", str(A().x))])
