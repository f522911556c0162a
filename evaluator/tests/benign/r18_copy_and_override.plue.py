# expect: ok
from copy import deepcopy
from dataclasses import asdict, dataclass, replace

BASE = {"env": {"CI": "1"}, "timeout": "10m"}


@dataclass
class Image:
    repo: str
    tag: str = "latest"

    def __str__(self):
        return f"{self.repo}:{self.tag}"


def with_env(**extra):
    merged = deepcopy(BASE)
    merged["env"] |= extra
    return merged


def workflow():
    image = Image("registry.example.invalid/app")
    pinned = replace(image, tag="v1.2.3")
    return Plan(name="images", steps=[
        Step.bash("a", f"docker pull {image}", **with_env(DEBUG="1")),
        Step.bash("b", f"docker pull {pinned}", **with_env()),
        Step.bash("c", "echo " + " ".join(f"{k}={v}" for k, v in asdict(pinned).items())),
    ])
