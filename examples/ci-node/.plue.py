# CI of a Node project: a matrix of suites and time zones by comprehension.
SUITES = ["format", "parse"]
ZONES = ["UTC", "Asia/Tokyo"]


def workflow():
    tests = [
        Step.bash(
            f"test-{suite}-{zone.rpartition('/')[2].lower()}",
            f"node --test test/{suite}.test.js",
            env={"TZ": zone},
            depends_on=["check"],
        )
        for suite in SUITES
        for zone in ZONES
    ]
    return Plan(
        name="Node CI",
        triggers=[Trigger.on_push(branch="main"), Trigger.on_pull_request()],
        max_parallel=2,
        steps=[
            Step.bash("check", "for file in src/*.js test/*.js; do node --check \"$file\"; done"),
            *tests,
            Step.bash("pack", "tar -czf dates.tgz package.json src", depends_on=tests, artifacts=["dates.tgz"]),
        ],
    )
