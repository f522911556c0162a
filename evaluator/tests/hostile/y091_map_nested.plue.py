# expect: killed|error
# tries: nested map objects, freed recursively
# class: resources
def workflow():
    x = iter([1])
    for _ in range(500_000):
        x = map(str, x)
    list(x)
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", "x")])
