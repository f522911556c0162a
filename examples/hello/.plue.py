"""Two steps side by side, and a third that needs both."""


def workflow():
    return Plan(
        name="Hello",
        triggers=[Trigger.on_manual()],
        steps=[
            Step.bash("greet", 'echo "hello from $PLUE_STEP_ID"'),
            Step.python("count", "print('the numbers below 10 add up to', sum(range(10)))"),
            Step.bash("finish", "echo 'greet and count are done'", depends_on=["greet", "count"]),
        ],
    )
