# expect: ok
from typing import NamedTuple


class Target(NamedTuple):
    os: str
    arch: str = "x86_64"

    @property
    def slug(self) -> str:
        return f"{self.os}-{self.arch}"


TARGETS = [Target("linux"), Target("linux", "aarch64"), Target(os="macos", arch="arm64")]


def workflow():
    builds = [Step.bash(f"build-{t.slug}", f"make TARGET={t.slug}") for t in TARGETS]
    first, *rest = TARGETS
    assert first._replace(arch="x").slug == "linux-x"
    package = Step.bash("package", "make package", depends_on=[b.id for b in builds])
    return Plan(name=f"release {len(rest) + 1}", steps=builds + [package])
