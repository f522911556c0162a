# expect: ok
# every argument that all steps share
def workflow():
    return Plan(
        name="Options", context=[Key("made")],
        steps=[
            Step.bash("first", "true"),
            Step.bash(
                "second", "make",
                depends_on=["first"], name="The second", when="steps.first.status == 'success'",
                env={"A": "b", "N": 3, "T": ref("first", "version"), "S": secret("TOKEN")}, secrets=["NPM_TOKEN"],
                timeout="10m", retry=Retry(max_attempts=4, delay="2s", backoff="exponential", max_delay="1m", jitter=0.5,
                                           on=["infra", "timeout", "exit:137"]),
                on_failure="continue", runner="large", resources={"cpu": 2, "memory": "4Gi"}, cwd="web",
                outputs={"type": "object"}, artifacts=["dist/**"], cache=Cache(key="npm-1", paths=["node_modules"], restore=["npm-"]),
                services=[Service("postgres:16", 5432, env={"POSTGRES_PASSWORD": "x"})], pure=True, interactive=False, writes="made",
            ),
            Step.bash("third", "true", depends_on=["second"], on_failure=Goto("second", max_visits=3)),
            Step.bash("fourth", "true", depends_on=["third"], on_success=Goto("third", max_visits=2), on_failure="skip"),
        ],
    )
