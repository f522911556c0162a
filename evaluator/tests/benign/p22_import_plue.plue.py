# expect: ok
# the names of plue imported in every way
import plue
from plue import Plan, Step
from plue import Trigger as On


def workflow():
    steps = [Step.bash("a", "true"), plue.Step.bash("b", "true", depends_on=["a"], retry=plue.Retry(2))]
    return Plan(name="Imported", triggers=[On.on_push(branch="main")], steps=steps)
