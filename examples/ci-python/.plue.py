# CI of a Python project: one step for each test module, found in the commit itself.
def workflow(ctx):
    modules = [path.removesuffix(".py").replace("/", ".") for path in ctx.glob("tests/test_*.py")]
    tests = [
        Step.bash(f"test-{module.rpartition('.')[2]}", f"python3 -m unittest -v {module}", depends_on=["compile"])
        for module in modules
    ]
    return Plan(
        name="Python CI",
        triggers=[Trigger.on_push(branch="main"), Trigger.on_pull_request(paths=["**/*.py"])],
        env={"PYTHONDONTWRITEBYTECODE": "1"},
        steps=[
            Step.python("compile", "import ast, pathlib\nfor path in sorted(pathlib.Path('.').rglob('*.py')):\n    ast.parse(path.read_text(), str(path))\n    print('ok', path)"),
            *tests,
        ],
    )
