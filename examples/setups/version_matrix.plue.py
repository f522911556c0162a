"""A matrix over versions and databases, without the pairs that nobody supports."""

VERSIONS = ["3.11", "3.12", "3.13"]
DATABASES = ["sqlite", "postgres"]
UNSUPPORTED = {("3.11", "postgres")}


def workflow():
    tests = [
        Step.bash(
            f"test-{version}-{database}",
            'echo "testing with Python $VERSION on $DATABASE"',
            env={"VERSION": version, "DATABASE": database},
        )
        for version in VERSIONS
        for database in DATABASES
        if (version, database) not in UNSUPPORTED
    ]
    green = Step.bash("green", f"echo {len(tests)} combinations are green", depends_on=tests)
    return Plan(name="version-matrix", max_parallel=4, steps=[*tests, green])
