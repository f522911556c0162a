# A release: values travel between steps as outputs, never as text pasted into a command.
def write_notes():
    import os

    version = os.environ["VERSION"]
    with open("CHANGES.txt") as changes:
        items = [line.strip() for line in changes if line.strip()]
    with open("NOTES.md", "w") as out:
        out.write(f"# Release {version}\n\n" + "".join(f"- {item}\n" for item in items))
    print(len(items), "changes in", version)
    return {"changes": len(items)}


# Bit for bit the same archive for the same commit: no times, no owners, a fixed order.
ARCHIVE = """
file="app-$VERSION.tar.gz"
tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --mode=a=rX,u+w -cf - app.sh NOTES.md | gzip -n > "$file"
echo "file=$file" >> "$PLUE_OUTPUT"
"""


def workflow():
    version = Step.bash("version", 'echo "number=$(cat VERSION)" >> "$PLUE_OUTPUT"')
    number = version.output("number")
    return Plan(
        name="Release",
        triggers=[Trigger.on_push(tag="v*"), Trigger.on_manual()],
        concurrency=Concurrency("release"),
        steps=[
            version,
            Step.python("notes", write_notes, env={"VERSION": number}, depends_on=[version]),
            Step.bash("archive", ARCHIVE, env={"VERSION": number}, depends_on=[version, "notes"], artifacts=["app-*.tar.gz"]),
            Step.bash(
                "checksum",
                'sha256sum "$FILE" | tee "$FILE.sha256"',
                env={"FILE": ref("archive", "file")},
                depends_on=["archive"],
            ),
            Step.bash(
                "announce",
                'echo "released $VERSION with $CHANGES changes"',
                env={"VERSION": number, "CHANGES": ref("notes", "changes")},
                # Nothing to announce: the step is skipped, and the run still succeeds.
                when="steps.notes.output.changes > 0",
                depends_on=[version, "notes", "checksum"],
            ),
        ],
        outputs={"version": number, "file": ref("archive", "file")},
    )
