# expect: ok
from enum import Enum, IntEnum, auto


class Env(str, Enum):
    DEV = "dev"
    STAGING = "staging"
    PROD = "prod"

    @property
    def replicas(self):
        return {Env.DEV: 1, Env.STAGING: 2, Env.PROD: 6}[self]


class Size(IntEnum):
    SMALL = auto()
    LARGE = auto()


def guard(env: Env) -> str:
    match env:
        case Env.PROD:
            return "--confirm"
        case Env.DEV | Env.STAGING:
            return ""


def workflow():
    steps, previous = [], None
    for env in Env:
        steps.append(
            Step.bash(
                f"deploy-{env.value}",
                f"./deploy.sh {env.value} --replicas={env.replicas} {guard(env)}".strip(),
                depends_on=[previous] if previous else [],
            )
        )
        previous = f"deploy-{env.value}"
    return Plan(name="deploy " + Size.LARGE.name.lower(), steps=steps)
