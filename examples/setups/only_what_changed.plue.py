"""A monorepo: only the services that a push touches are checked; asked for by a person, all are."""


def workflow(ctx):
    names = sorted(path.split("/")[1] for path in ctx.glob("services/*/check.sh"))
    pushed = ctx.event is not None and ctx.event.type == "push"
    if pushed:
        names = [name for name in names if any(path.startswith(f"services/{name}/") for path in ctx.changed_files)]
    checks = [Step.bash(f"check-{name}", f"sh services/{name}/check.sh") for name in names]
    done = Step.bash("done", f"echo {len(checks)} checked", depends_on=checks)
    return Plan(name="only-what-changed", triggers=[Trigger.on_push(paths=["services/**"])], steps=[*checks, done])
