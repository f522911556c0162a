# expect: ok
# functions of the file as the code of python steps
def report(path, limit="10"):
    """Runs on the runner: anything goes here."""
    import json
    import os
    from pathlib import Path

    text = """
    indentation that is content
    """
    with open(path) as handle:
        data = json.load(handle)
    print(os.environ.get("HOME"), Path(path).name, len(data), limit, text, __name__)


def plain():
    print("no arguments")


def workflow():
    def nested():
        import sys

        if sys.argv:
            print("nested")

    return Plan(
        name="Functions",
        steps=[
            Step.python("report", report, args=["out.json", "5"]),
            Step.python("plain", code=plain),
            Step.python("nested", nested),
        ],
    )
