# expect: ok
# names of plue and removed builtins used as names of the file's own
from dataclasses import dataclass


@dataclass
class Service:
    id: str
    input: str = ""


def workflow():
    services = [Service("api"), Service("web")]
    steps = []
    for id, vars in ((s.id, {"X": s.input}) for s in services):
        open = f"make {id}"
        steps.append(Step.bash(id, open, env=vars))
    return Plan(name="Shadow", steps=steps)
