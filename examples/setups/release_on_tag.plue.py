"""A tag `v1.2.3` makes a release. Its version must be the one in the file VERSION.

plue run release-on-tag --event events/tag.json
"""


def check_version(tag):
    import pathlib

    version = pathlib.Path("VERSION").read_text().strip()
    if tag != f"v{version}":
        raise SystemExit(f"the tag is {tag}, but VERSION says {version}")
    return {"version": version}


def workflow():
    version = Step.python("version", check_version, args=[template("${event.tag}")])
    archive = Step.bash(
        "archive",
        'mkdir -p dist && git archive --prefix="shop-$VERSION/" -o "dist/shop-$VERSION.tar.gz" HEAD && ls dist',
        env={"VERSION": version.output("version")},
        depends_on=[version],
        artifacts=Artifacts(["dist/*.tar.gz"], missing="fail"),
    )
    announce = Step.bash(
        "announce",
        'echo "$TEXT"',
        env={"TEXT": f"shop {version.output('version')} is out"},
        depends_on=[archive],
    )
    return Plan(
        name="release-on-tag",
        triggers=[Trigger.on_push(tag="v*")],
        steps=[version, archive, announce],
    )
