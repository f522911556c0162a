# expect: ok
# dataclasses: defaults, factories, frozen, order, post_init, inheritance, asdict, replace
from dataclasses import asdict, astuple, dataclass, field, fields, is_dataclass, replace


@dataclass(order=True)
class Job:
    name: str
    needs: list[str] = field(default_factory=list)
    weight: int = 1
    label: str = field(init=False, default="", compare=False, repr=False)

    def __post_init__(self):
        self.label = self.name.upper()


@dataclass(frozen=True, kw_only=True)
class Target:
    arch: str
    os: str = "linux"

    @property
    def triple(self):
        return f"{self.arch}-{self.os}"


@dataclass
class Special(Job):
    extra: str = "x"


def workflow():
    job = Job("build")
    other = replace(job, name="test", needs=["build"])
    assert asdict(job) == {"name": "build", "needs": [], "weight": 1, "label": "BUILD"}
    assert astuple(other)[0] == "test" and is_dataclass(job) and job < other
    assert [f.name for f in fields(Job)] == ["name", "needs", "weight", "label"]
    assert repr(Special("s", extra="y")) == "Special(name='s', needs=[], weight=1, extra='y')"
    targets = {Target(arch="arm"), Target(arch="x86")}
    assert len(targets) == 2 and Target(arch="arm") in targets
    try:
        Target(arch="z").os = "no"
    except AttributeError:
        pass
    else:
        raise ValueError("not frozen")
    steps = [Step.bash(j.name, f"make {j.name}", depends_on=j.needs) for j in (job, other)]
    steps += [Step.bash(t.triple, "make") for t in sorted(targets, key=lambda t: t.arch)]
    return Plan(name="Dataclasses", steps=steps)
