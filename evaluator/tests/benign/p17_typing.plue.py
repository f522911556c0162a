# expect: ok
# typing constructs: generics, unions, literals, protocols of every common form
from __future__ import annotations

import typing as t
from typing import Annotated, Any, Callable, ClassVar, Dict, Final, Generic, List, Literal, NamedTuple, NewType, Optional
from typing import TYPE_CHECKING, Tuple, TypeAlias, TypedDict, TypeVar, Union, cast, overload

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")
Id = NewType("Id", str)
Names: TypeAlias = "list[str]"
LIMIT: Final = 3


class Options(TypedDict, total=False):
    fast: bool


class Job(NamedTuple):
    id: str
    run: str = "make"

    def step(self) -> Step:
        return Step.bash(self.id, self.run)


class Box(Generic[T]):
    kinds: ClassVar[list[str]] = []

    def __init__(self, item: T) -> None:
        self.item = item


@overload
def pick(x: int) -> int: ...
@overload
def pick(x: str) -> str: ...
def pick(x):
    return x


def build(jobs: List[Job], make: Callable[[Job], Step], extra: Optional[Dict[str, Any]] = None) -> list[Step]:
    return [make(job) for job in jobs]


def workflow() -> Plan | list[Plan]:
    options: Options = {"fast": True}
    box: Box[Job] = Box(Job(Id("a")))
    mode: Literal["x", "y"] = cast(Any, "x")
    pair: Tuple[int, ...] = (1, 2)
    value: Union[int, str] = pick(1)
    note: Annotated[str, "text"] = "n"
    steps = build([box.item, Job("b", run="ls")], lambda job: job.step())
    print(options, mode, pair, value, note, LIMIT, t.TYPE_CHECKING)
    return Plan(name="Typing", steps=steps)
