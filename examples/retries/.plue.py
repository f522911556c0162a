# Steps that misbehave: one fails at first, one takes too long, and the run still ends well.
def workflow():
    return Plan(
        name="Retries and timeouts",
        triggers=[Trigger.on_pull_request()],
        timeout="5m",
        steps=[
            Step.bash(
                "flaky",
                'echo "attempt $PLUE_ATTEMPT"; test "$PLUE_ATTEMPT" -ge 3',
                retry=Retry(max_attempts=4, delay="100ms", backoff="exponential", on=["exit:1"]),
            ),
            Step.bash("slow", "echo waiting; sleep 60", timeout="300ms", on_failure="continue"),
            Step.bash("optional", "echo 'not today'; exit 3", on_failure="skip"),
            Step.bash(
                "summary",
                "echo 'one was tried again, one was stopped, one did not matter'",
                when="steps.flaky.attempts == 3 && steps.slow.status == 'timed_out' && steps.optional.status == 'skipped'",
                depends_on=["flaky", "slow", "optional"],
            ),
        ],
    )
