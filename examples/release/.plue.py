# A release: values travel between steps as outputs, never as text pasted into a command.
def notes(version):
    lines = [f"# Release {version}", ""]
    with open("CHANGES.txt") as changes:
        lines += [f"- {line.strip()}" for line in changes if line.strip()]
    with open("NOTES.md", "w") as out:
        out.write("\n".join(lines) + "\n")
    return {"lines": len(lines)}


def workflow():
    version = Step.bash("version", 'echo "version=$(cat VERSION)" >> "$PLUE_OUTPUT"')
    return Plan(
        name="Release",
        triggers=[Trigger.on_push(tag="v*"), Trigger.on_manual()],
        steps=[
            version,
            Step.python("notes", notes, args=["1.4.0"], depends_on=[version]),
            Step.bash(
                "archive",
                'tar -czf "app-$VERSION.tgz" app.sh NOTES.md && echo "file=app-$VERSION.tgz" >> "$PLUE_OUTPUT"',
                env={"VERSION": ref("version", "version")},
                depends_on=[version, "notes"],
            ),
            Step.bash(
                "checksum",
                'sha256sum "$FILE" | tee "$FILE.sha256"',
                env={"FILE": ref("archive", "file")},
                depends_on=["archive"],
            ),
            Step.bash(
                "announce",
                'echo "released $VERSION with $LINES lines of notes"',
                env={"VERSION": version.output("version"), "LINES": ref("notes", "lines")},
                when="steps.archive.status == 'success' && steps.notes.output.lines > 2",
                depends_on=[version, "notes", "checksum"],
            ),
        ],
    )
