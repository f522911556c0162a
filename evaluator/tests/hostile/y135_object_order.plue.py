# expect: error
# tries: sorting by address through default repr
# class: determinism
class A: pass
def workflow():
    objs = [A() for _ in range(20)]
    order = sorted(range(20), key=lambda n: repr(object()))
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", str(order))])
