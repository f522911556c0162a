# expect: ok
# four hundred steps with dependencies
def workflow():
    steps = [Step.bash("start", "true")]
    for i in range(400):
        steps.append(Step.bash(f"s{i:03}", f"make part-{i}", depends_on=["start" if i < 20 else f"s{i - 20:03}"]))
    return Plan(name="Large", steps=steps)
