# expect: ok
from typing import Any, Callable, Final, Literal, TypedDict, Union

Kind = Literal["unit", "e2e"]
LIMIT: Final = 3


class Suite(TypedDict, total=False):
    kind: Kind
    command: str
    retries: int


Maker = Callable[[Suite], Any]
SUITES: list[Suite] = [{"kind": "unit", "command": "make unit"}, {"kind": "e2e", "command": "make e2e", "retries": 2}]


def make(suite: Suite) -> Any:
    retries: Union[int, None] = suite.get("retries")
    if retries is not None and retries <= LIMIT:
        return Step.bash(suite["kind"], suite["command"], retry=Retry(max_attempts=retries))
    return Step.bash(suite["kind"], suite["command"])


def workflow():
    maker: Maker = make
    return Plan(name="typed", steps=[maker(s) for s in SUITES])
