# CI of a Python project: every file compiles, then the tests, as they are and with warnings as errors.
def workflow():
    return Plan(
        name="@@name@@",
        triggers=[Trigger.on_push(branch="@@branch@@"), Trigger.on_pull_request()],
        env={"PYTHONDONTWRITEBYTECODE": "1"},
        on_failure="continue",
        max_parallel=2,
        steps=[
            Step.bash("syntax", "python3 -m compileall -q ."),
            Step.bash("test", "python3 -m unittest discover -v", depends_on=["syntax"], timeout="20m"),
            Step.bash("test-strict", "python3 -X dev -W error -m unittest discover", depends_on=["syntax"], timeout="20m"),
        ],
    )
