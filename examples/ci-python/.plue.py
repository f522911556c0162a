# CI of a Python project: a matrix of test modules, found in the commit itself, and of interpreter modes.
MODES = {
    "plain": "",
    "strict": "-X dev -W error",
    "optimised": "-O",
}


def module_name(path):
    return path.removesuffix(".py").replace("/", ".")


def check_syntax():
    # A function of this file as a step: its source travels in the plan and is called where the step runs.
    import ast
    import pathlib

    files = sorted(pathlib.Path(".").rglob("*.py"))
    for path in files:
        ast.parse(path.read_text(), str(path))
    print(len(files), "files parse")


def workflow(ctx):
    tests = [
        Step.bash(
            f"{path.rpartition('/')[2].removesuffix('.py')}-{mode}",
            f"python3 {flags} -m unittest -v {module_name(path)} 2>&1".replace("  ", " "),
            depends_on=["syntax"],
            timeout="5m",
        )
        for path in ctx.glob("tests/test_*.py")
        for mode, flags in MODES.items()
    ]
    return Plan(
        name="Python CI",
        triggers=[Trigger.on_push(branch="main"), Trigger.on_pull_request(paths=["**/*.py"])],
        env={"PYTHONDONTWRITEBYTECODE": "1"},
        on_failure="continue",
        max_parallel=4,
        steps=[
            Step.python("syntax", check_syntax),
            *tests,
            Step.bash("green", "echo 'all tests passed in every mode'", depends_on=tests),
        ],
    )
