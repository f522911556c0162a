# expect: ok
# a matrix with itertools.product and exclusions
import itertools

OS = ["linux", "macos"]
PY = ["3.10", "3.11", "3.12"]
EXCLUDE = {("macos", "3.10")}


def workflow():
    steps = [
        Step.bash(f"test-{os}-{py}", f"tox -e py{py.replace('.', '')}", runner=os)
        for os, py in itertools.product(OS, PY)
        if (os, py) not in EXCLUDE
    ]
    return Plan(name="Matrix", steps=steps + [Step.bash("report", "make report", depends_on=steps)])
