# expect: ok
# Enum, StrEnum, IntEnum, Flag, auto, unique, lookup by value and name
from enum import Enum, Flag, IntEnum, StrEnum, auto, unique


@unique
class Stage(StrEnum):
    LINT = auto()
    TEST = auto()


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Flags(Flag):
    A = auto()
    B = auto()


class Planet(Enum):
    EARTH = ("earth", 1)

    def __init__(self, title, order):
        self.title = title
        self.order = order


def workflow():
    assert Stage("lint") is Stage.LINT and Stage["TEST"].value == "test"
    assert Level.HIGH > Level.LOW and (Flags.A | Flags.B).value == 3
    assert Planet.EARTH.order == 1 and Planet.EARTH.name == "EARTH"
    return Plan(name="Enums", steps=[Step.bash(stage, f"make {stage}") for stage in Stage])
