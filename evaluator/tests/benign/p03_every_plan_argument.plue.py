# expect: ok
# every argument of Plan
def workflow():
    return Plan(
        name="Everything", description="All of it", goal="Show it",
        inputs={"env": Input(type="string", default="dev", choices=["dev", "prod"], description="Where"),
                "count": Input("integer", required=True), "flags": Input(type="list", default=["a"]), "ok": Input(type="boolean", default=False)},
        context=[Key("built", {"type": "object"}), Key("notes", merge="list")],
        env={"CI": "1", "KEY": secret("KEY")}, runner="small", timeout="2h", max_parallel=4,
        on_failure="continue", concurrency=Concurrency("deploy", cancel_in_progress=True),
        hooks=Hooks(on_start=[Step.bash("hello", "echo start")], on_success=[Step.bash("yay", "echo ok")],
                    on_failure=[Step.bash("sad", "echo bad", required=True)], on_complete=[Step.bash("bye", "echo end")]),
        budget=Budget(usd=5, tokens=100000), outputs={"version": ref("build", "version")}, tags=["ci", "slow"],
        triggers=[Trigger.on_manual(inputs={"why": Input()})],
        steps=[Step.bash("build", "make")],
    )
