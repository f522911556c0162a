# A nightly schedule in a real time zone, with hooks around it.
def count_todos():
    import collections
    import pathlib

    lines = pathlib.Path("todos.txt").read_text().splitlines()
    files = collections.Counter(line.split(":")[0] for line in lines)
    for file, count in files.most_common():
        print(f"{count:4} {file}")
    return {"count": len(lines), "files": len(files)}


def workflow():
    return Plan(
        name="Nightly",
        description="Every night at 02:30 in Berlin; nights that were missed are made up for once.",
        triggers=[
            Trigger.on_schedule("30 2 * * *", tz="Europe/Berlin", misfire="run_once"),
            Trigger.on_manual(),
        ],
        # A second run waits until the first has ended.
        concurrency=Concurrency("nightly"),
        timeout="30m",
        steps=[
            # grep ends with 1 when it finds nothing, which is good news here.
            Step.bash("collect", "grep -rn TODO src > todos.txt || true; wc -l < todos.txt", artifacts=["todos.txt"]),
            Step.python("count", count_todos, depends_on=["collect"]),
            Step.bash(
                "complain",
                'echo "$COUNT TODOs in $FILES files"',
                env={"COUNT": ref("count", "count"), "FILES": ref("count", "files")},
                when="steps.count.output.count > 0",
                depends_on=["count"],
            ),
        ],
        hooks=Hooks(
            on_failure=[Step.bash("tell", "echo 'here a message would go out'")],
            on_complete=[Step.bash("clean", "rm -f todos.txt && echo 'good night'")],
        ),
    )
