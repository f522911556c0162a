# expect: error
# tries: a metaclass through ** in the class statement
# class: classes
kw = {"metaclass": type}
class A(**kw):
    pass
def workflow():
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", "x")])
