# expect: error
# tries: a decorator that receives the function and reads its globals
# class: classes
def deco(g):
    return g.__globals__
@deco
def h():
    pass
def workflow():
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", str(h))])
