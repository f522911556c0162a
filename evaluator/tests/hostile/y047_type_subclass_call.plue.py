# expect: error
# tries: type of a subclass instance, called with three arguments
# class: classes
class A: pass
def workflow():
    T = type(type(A()))
    x = T("B", (), {})
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", str(x))])
