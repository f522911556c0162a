"""Every Monday at six in Berlin; a missed one is made up for once. `plue run weekly-report` tries it now."""


def count_lines():
    import pathlib

    lines = {str(path): len(path.read_text().splitlines()) for path in sorted(pathlib.Path("app").rglob("*.py"))}
    pathlib.Path("report.txt").write_text("".join(f"{count:5} {name}\n" for name, count in lines.items()))
    print(sum(lines.values()) > 0 and "report written")


def workflow():
    return Plan(
        name="weekly-report",
        triggers=[Trigger.on_schedule("0 6 * * 1", tz="Europe/Berlin", misfire="run_once"), Trigger.on_manual()],
        timeout="10m",
        steps=[Step.python("report", count_lines, artifacts=["report.txt"])],
    )
