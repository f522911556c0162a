# expect: error|ok
# tries: super with two arguments of strange types
# class: classes
class A:
    def f(self):
        return super(type, type).mro(int)
def workflow():
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", str(A().f()))])
