# expect: ok
class Pipeline:
    """Collects steps; each stage waits for the one before."""

    def __init__(self, name):
        self.name = name
        self._steps = []
        self._last = []

    def stage(self, *scripts, **named):
        ids = []
        for n, script in enumerate(scripts, 1):
            ids.append(self._add(f"step-{len(self._steps) + n}", script))
        for name, script in named.items():
            ids.append(self._add(name.replace("_", "-"), script))
        self._last = ids
        return self

    def _add(self, step_id, script):
        self._steps.append(Step.bash(step_id, script, depends_on=list(self._last)))
        return step_id

    def __len__(self):
        return len(self._steps)

    def build(self):
        if not len(self):
            raise ValueError("no stages")
        return Plan(name=self.name, triggers=[Trigger.on_push(branch="main")], steps=self._steps)


def workflow():
    return (
        Pipeline("builder")
        .stage(unit_tests="make unit", lint="make lint")
        .stage(build="make build")
        .stage(deploy_eu="./deploy eu", deploy_us="./deploy us")
        .build()
    )
