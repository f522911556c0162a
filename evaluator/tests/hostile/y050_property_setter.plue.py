# expect: error
# tries: property.fset of a builtin
# class: classes
class A:
    @property
    def x(self):
        return 1
def workflow():
    g = getattr(A, "x").fget
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", str(g.__globals__))])
