# expect: ok
# row 1.33: `from plue import *` works too, for editors that want to know where names come from
from plue import *


def workflow():
    return Plan(name="Star", steps=[Step.bash("a", "true")])
