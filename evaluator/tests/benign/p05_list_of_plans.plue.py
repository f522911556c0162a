# expect: ok
# workflow returns a list of plans
def one(name):
    return Plan(name=name, triggers=[Trigger.on_push(branch=name)], steps=[Step.bash("test", f"make test-{name}")])


def workflow():
    return [one(name) for name in ("api", "web", "docs")]
