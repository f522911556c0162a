"""A step writes a plan, and another runs it as a child: for work that is only known during the run."""


def make_plan():
    import pathlib

    folders = sorted(path.parent.name for path in pathlib.Path("services").glob("*/check.sh"))
    steps = [{"id": name, "kind": "bash", "run": f"sh services/{name}/check.sh"} for name in folders]
    return {"plan": {"version": 1, "name": "generated", "steps": steps}}


def workflow():
    make = Step.python("make", make_plan)
    run = Step.workflow("run", plan=make.output("plan"), depends_on=[make])
    return Plan(name="steps-made-at-run-time", steps=[make, run])
