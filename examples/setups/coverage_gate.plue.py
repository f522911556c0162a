"""The share of lines that the tests reach is an output; below the limit the gate is closed."""

LIMIT = 60


def measure():
    import pathlib
    import trace
    import unittest

    tracer = trace.Trace(count=True, trace=False)
    tracer.runfunc(unittest.main, module=None, argv=["unittest", "discover", "-q"], exit=False)
    file = pathlib.Path("app/__init__.py").resolve()
    reached = {line for name, line in tracer.results().counts if name == str(file)}
    lines = trace._find_executable_linenos(str(file))
    percent = 100 * len(reached & set(lines)) // len(lines)
    print("coverage", percent, "%")
    return {"percent": percent}


def workflow():
    coverage = Step.python("coverage", measure)
    gate = Step.bash(
        "gate",
        f'test "$PERCENT" -ge {LIMIT} && echo "the gate is open"',
        env={"PERCENT": coverage.output("percent")},
        depends_on=[coverage],
    )
    return Plan(name="coverage-gate", steps=[coverage, gate])
