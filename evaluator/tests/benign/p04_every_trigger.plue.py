# expect: ok
# every kind of trigger
def workflow():
    return Plan(
        name="Triggers",
        triggers=[
            Trigger.on_push(branch="main"), Trigger.on_push(branches=["release/*", "hotfix/**"], paths=["src/**"], paths_ignore=["docs/**"]),
            Trigger.on_push(tag="v*"), Trigger.on_push(tags=["v1.*", "v2.*"]),
            Trigger.on_pull_request(), Trigger.on_pull_request(types=["opened"], branches=["main"], paths=["*.py"]),
            Trigger.on_issue(types=["labeled"], labels=["bug"]), Trigger.on_issue_comment(contains="/deploy"),
            Trigger.on_schedule("0 4 * * 1-5", tz="Europe/Berlin", misfire="skip"), Trigger.on_schedule("*/5 * * * *"),
            Trigger.on_manual(inputs={"env": Input(default="dev")}), Trigger.on_webhook("deploy"),
            Trigger.on_event("orders", when="event.payload.total > 10"), Trigger.on_workflow("CI", outcome="success"),
        ],
        steps=[Step.bash("a", "true")],
    )
