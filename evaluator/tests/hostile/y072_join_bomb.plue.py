# expect: error|killed
# tries: join with a separator that doubles
# class: resources
def workflow():
    s = "ab"
    for _ in range(64):
        s = s.join([s, s])
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", s)])
