# expect: error
# tries: an exception's context walked to frames
# class: frames
def workflow():
    try:
        try:
            1 / 0
        except ZeroDivisionError:
            raise ValueError
    except ValueError as e:
        x = e.__context__.__traceback__
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", str(x))])
