# A deployment that a person asks for: inputs with choices, and one deployment at a time for each place.
def workflow(ctx):
    where = ctx.inputs.get("where", "staging")
    return Plan(
        name="Deploy",
        inputs={
            "where": Input(type="string", default="staging", choices=["staging", "production"], description="Where to"),
            "replicas": Input(type="integer", default=2, description="How many servers"),
        },
        triggers=[Trigger.on_manual()],
        concurrency=Concurrency(f"deploy-{where}"),
        steps=[
            Step.bash("build", "tar -cf site.tar site && echo 'site.tar is built'", artifacts=["site.tar"]),
            # A plan is data: production has more steps than staging, and `plue plan` shows which.
            *(
                [Step.bash("backup", "echo 'the old site is kept'", depends_on=["build"])]
                if where == "production"
                else []
            ),
            Step.bash(
                "upload",
                'for server in $(seq "$REPLICAS"); do echo "server $server of $WHERE"; done',
                env={"WHERE": where, "REPLICAS": ctx.inputs.get("replicas", 2)},
                depends_on=["build", "backup"] if where == "production" else ["build"],
            ),
            Step.bash("check", "tar -tf site.tar | grep -x site/index.html", depends_on=["upload"]),
        ],
    )
