# expect: error
# tries: the frame of a generator through throw
# class: frames
def g():
    try:
        yield 1
    except Exception as e:
        yield e.__traceback__.tb_frame
def workflow():
    a = g()
    next(a)
    x = a.throw(ValueError("a"))
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", str(x))])
