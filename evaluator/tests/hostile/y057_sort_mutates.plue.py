# expect: error|ok
# tries: a sort key that changes the list it sorts
# class: resources
def workflow():
    l = list(range(1000))
    def key(x):
        l.append(x)
        return x
    l.sort(key=key)
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", str(len(l)))])
