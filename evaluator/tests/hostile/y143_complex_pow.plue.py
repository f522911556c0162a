# expect: error|killed|ok
# tries: complex powers and overflow
# class: builtins
def workflow():
    return Plan(name="x", triggers=[Trigger.on_push(branch="main")], steps=[Step.bash("a", str((1e308 * 10) ** 2 + abs(complex(1e308, 1e308))))])
