# CI of a Node project: a matrix of suites and time zones by comprehension.
SUITES = ["format", "parse"]
ZONES = ["UTC", "Asia/Tokyo", "America/New_York"]


def zone_id(zone):
    return zone.rpartition("/")[2].lower().replace("_", "-")


def workflow():
    tests = [
        Step.bash(
            f"test-{suite}-{zone_id(zone)}",
            f"node --test --test-reporter=tap test/{suite}.test.js",
            env={"TZ": zone},
            depends_on=["check"],
            timeout="5m",
        )
        for suite in SUITES
        for zone in ZONES
    ]
    return Plan(
        name="Node CI",
        triggers=[Trigger.on_push(branch="main"), Trigger.on_pull_request()],
        max_parallel=2,
        steps=[
            Step.bash("check", 'for file in src/*.js test/*.js; do node --check "$file"; echo "ok $file"; done'),
            *tests,
            Step.bash("pack", "npm pack --silent", depends_on=tests, artifacts=["*.tgz"]),
        ],
    )
