# expect: ok
def summarize(threshold: int = 80):
    import json

    with open("coverage.json") as file:
        total = json.load(file)["totals"]["percent_covered"]
    if total < threshold:
        raise SystemExit(f"coverage {total:.1f} is below {threshold}")
    print(f"coverage {total:.1f}")


def workflow():
    return Plan(name="coverage", steps=[
        Step.bash("test", "coverage run -m pytest && coverage json"),
        Step.python("check", summarize, depends_on=["test"]),
    ])
