# expect: ok
# ann plan
from plue import Plan, Step, Trigger, Retry, Input
def helper(x: type[Step], y: list[Step] | None) -> list[Plan]:
    return []
def workflow():
    return Plan(name="x", triggers=[], steps=[Step.bash("a", str(helper(Step, None))[:500] or "e")])
