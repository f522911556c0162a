# Steps that misbehave, and what a workflow may say about it beforehand.
def workflow():
    return Plan(
        name="Retries and timeouts",
        triggers=[Trigger.on_pull_request(), Trigger.on_manual()],
        timeout="5m",
        steps=[
            # Fails twice, then works. Only exit status 75 ("try again later") is worth another attempt.
            Step.bash(
                "flaky",
                'echo "attempt $PLUE_ATTEMPT"; test "$PLUE_ATTEMPT" -ge 3 || exit 75',
                retry=Retry(max_attempts=4, delay="100ms", backoff="exponential", max_delay="2s", jitter=0.1, on=["exit:75"]),
            ),
            # Takes too long: stopped with everything it started. The steps behind it run anyway.
            Step.bash("slow", "echo waiting; sleep 60", timeout="1s", on_failure="continue"),
            # Nice to have: its failure counts as skipped.
            Step.bash("optional", "echo 'not today'; exit 3", on_failure="skip"),
            # Its own loop: goes back to `start` until the service answers, at most three times.
            Step.bash("start", 'echo "start number $PLUE_VISIT"'),
            Step.bash(
                "healthy",
                'echo "asked $PLUE_VISIT times"; test "$PLUE_VISIT" -ge 2',
                depends_on=["start"],
                on_failure=Goto("start", max_visits=3),
            ),
            Step.bash(
                "summary",
                'echo "tried again, stopped, left out, looped: and still a success"',
                when="steps.flaky.attempts == 3 && steps.slow.status == 'timed_out'"
                " && steps.optional.status == 'skipped' && steps.healthy.visit == 2",
                depends_on=["flaky", "slow", "optional", "healthy"],
            ),
        ],
    )
