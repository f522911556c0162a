# expect: ok
from itertools import islice


def chunks(items, size):
    it = iter(items)
    while chunk := list(islice(it, size)):
        yield chunk


def numbered(items):
    for n, item in enumerate(items):
        yield f"batch-{n}", item


def workflow():
    files = [f"test_{c}.py" for c in "abcdefg"]
    steps = [Step.bash(name, "pytest " + " ".join(group)) for name, group in numbered(chunks(files, 3))]
    if (count := len(steps)) > 2:
        steps.append(Step.bash("merge", "coverage combine", depends_on=[s.id for s in steps]))
    return Plan(name=f"batches {count}", steps=steps)
