# A monorepo: only the services that a change touches are tested, and those that need them.
import json

SERVICES = {"api": [], "worker": ["api"], "web": ["api"]}


def touched(changed):
    direct = {path.split("/")[1] for path in changed if path.startswith("services/")}
    shared = any(not path.startswith("services/") for path in changed)
    return [
        name
        for name, needs in SERVICES.items()
        if shared or name in direct or direct.intersection(needs)
    ]


def workflow(ctx):
    # Asked for by a person, or only listed: everything.
    event = ctx.event.type if ctx.event else "manual"
    names = list(SERVICES) if event == "manual" else touched(ctx.changed_files)
    steps = []
    for name in names:
        config = json.loads(ctx.read(f"services/{name}/service.json"))
        steps.append(
            Step.bash(
                f"test-{name}",
                config["test"],
                cwd=f"services/{name}",
                depends_on=[f"test-{need}" for need in SERVICES[name] if need in names],
            )
        )
    steps.append(Step.bash("report", f"echo 'tested: {' '.join(names) or 'nothing'}'", depends_on=list(steps)))
    return Plan(
        name="Monorepo",
        triggers=[Trigger.on_push(branch="main"), Trigger.on_pull_request()],
        on_failure="continue",
        steps=steps,
    )
