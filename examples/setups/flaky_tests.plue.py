"""A flaky test is tried again, but only for the exit code that says "flaky"; each try has its own log."""


def workflow():
    flaky = Step.bash(
        "flaky",
        'echo "try $PLUE_ATTEMPT"; test "$PLUE_ATTEMPT" = 3 || exit 75',
        retry=Retry(max_attempts=3, delay="50ms", backoff="exponential", on=["exit:75", "infra"]),
    )
    told = Step.bash("told", 'echo "green after $TRIES tries"', env={"TRIES": template("${steps.flaky.attempts}")}, depends_on=[flaky])
    return Plan(name="flaky-tests", steps=[flaky, told])
