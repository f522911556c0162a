# expect: error
# tries: names that NameError suggests, with their objects
# class: frames
def workflow():
    try:
        {}["x"].y
    except (KeyError, AttributeError) as e:
        x = e.obj
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", str(x))])
