"""The test modules are dealt out to shards that run side by side; a last step adds them up."""

SHARDS = 2


def run_shard(number, modules):
    import io
    import unittest

    text = io.StringIO()
    result = unittest.TextTestRunner(text).run(unittest.defaultTestLoader.loadTestsFromNames(modules))
    print(text.getvalue())
    if not result.wasSuccessful():
        raise SystemExit(1)
    return {"number": number, "tests": result.testsRun}


def workflow(ctx):
    modules = sorted(path.removesuffix(".py").replace("/", ".") for path in ctx.glob("tests/test_*.py"))
    shards = [
        Step.python(f"shard-{number}", run_shard, args=[number, modules[number::SHARDS]])
        for number in range(SHARDS)
    ]
    total = Step.bash(
        "total",
        'echo "$((' + " + ".join(f"SHARD_{number}" for number in range(SHARDS)) + ')) tests"',
        env={f"SHARD_{number}": shard.output("tests") for number, shard in enumerate(shards)},
        depends_on=shards,
    )
    return Plan(name="sharded-tests", steps=[*shards, total])
