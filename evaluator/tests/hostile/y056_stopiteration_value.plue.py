# expect: error|ok
# tries: a value smuggled through StopIteration
# class: frames
def g():
    return (yield)
def workflow():
    a = g()
    next(a)
    try:
        a.send(type)
    except StopIteration as e:
        x = e.value
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", str(x.mro(int)))])
