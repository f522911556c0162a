"""A state machine as a graph of steps: what depends on what, under which condition, and which ways lead back.

Must not know steps, workers or plans.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Optional

from plue._references import ref

END = ("completed", "failed")
"""The two ends, which every machine has."""

Edges = Mapping[str, tuple[Optional[str], Optional[str]]]


class Machine:
    """The states that are reached from the first one, with their ways for success and failure."""

    def __init__(self, initial: str, edges: Edges) -> None:
        self._edges = edges
        self._back: set[tuple[str, str]] = set()
        self.order: list[str] = []
        """Every state after all states that lead forward to it."""
        self._walk(initial)
        ways = [(name, way) for name in self.order for way in (0, 1) if self._forward(name, edges[name][way])]
        targets = [edges[name][way] for name, way in ways]
        branches = any(way == 1 for _, way in ways) or len(set(targets)) < len(targets)
        self._branches = branches or any(edges[name][1] == "completed" for name in self.order)
        self._loops = [(end, self._between(start, end)) for end, start in sorted(self._back)]

    def _walk(self, initial: str) -> None:
        """Depth first without recursion; an edge to a state on the path leads back."""
        done: list[str] = []
        path: list[str] = []
        open_: list[tuple[str, bool]] = [(initial, False)]
        while open_:
            name, left = open_.pop()
            if left:
                path.pop()
                done.append(name)
            elif name not in done and name not in path:
                path.append(name)
                open_.append((name, True))
                targets = [target for target in self._edges.get(name, (None, None)) if target in self._edges]
                # What is put on the stack first is walked last, and so comes first in the order: success.
                for target in targets:
                    if target in path:
                        self._back.add((name, str(target)))
                    elif target is not None:
                        open_.append((target, False))
        self.order = done[::-1]

    def _forward(self, name: str, target: str | None) -> bool:
        return target in self._edges and (name, target) not in self._back

    def leads_back(self, name: str, target: str | None) -> bool:
        """Whether a way leads to the state itself or one before it."""
        return target is not None and (name, target) in self._back

    def astray(self) -> tuple[str, str] | None:
        """A way back to a state that need not have been entered before, which no bounded loop can be made of."""
        return next(((end, start) for end, start in sorted(self._back) if end in self._reached(start)), None)

    def _reached(self, without: str) -> set[str]:
        """States that are reached although one is left out."""
        reached: set[str] = set()
        open_ = [name for name in self.order[:1] if name != without]
        while open_:
            name = open_.pop()
            reached.add(name)
            targets = {to for to in self._edges[name] if to is not None and to in self._edges}
            open_ += sorted(targets - reached - {without})
        return reached

    def _between(self, start: str, end: str) -> set[str]:
        """The states of a loop."""
        after, ahead = {start}, {end}
        for name in self.order:
            if any(one in after for one in self.before(name)):
                after.add(name)
        for name in reversed(self.order):
            if any(self._forward(name, to) and to in ahead for to in self._edges[name]):
                ahead.add(name)
        return after & ahead

    def before(self, name: str) -> list[str]:
        """The states that lead forward to this one."""
        return [one for one in self.order if any(to == name and self._forward(one, to) for to in self._edges[one])]

    def waits_for(self, name: str, before: list[str]) -> list[str]:
        """Those states, and the end of every loop that is left here: until then its states may be entered again."""
        ends = [end for end, states in self._loops if name not in states and any(one in states for one in before)]
        return list(dict.fromkeys([*before, *ends]))

    def crossed(self) -> str | None:
        """A state of loops that are each left into the other, so that none of them is over first."""
        waits = {name: set(self.waits_for(name, self.before(name))) for name in self.order}
        while waits:
            free = {name for name, on in waits.items() if not on & set(waits)}
            if not free:
                return min(waits)
            for name in free:
                del waits[name]
        return None

    def condition(self, name: str) -> str | None:
        """When the state is entered, as an expression; ``None`` where the end of the previous one decides."""
        before = self.before(name)
        if not before or not self._branches:
            return None
        words = []
        for one in before:
            for way, status in enumerate(("success", "failed")):
                if self._edges[one][way] == name:
                    words.append(f"{self.status(one)} == '{status}'")
        return " || ".join(words)

    def goes_on_after_failure(self, name: str) -> bool:
        """Whether a failure leads forward, or to the good end."""
        target = self._edges[name][1]
        return target == "completed" or self._forward(name, target)

    @property
    def fails_after_success(self) -> list[str]:
        """States whose success is the bad end."""
        return [name for name in self.order if self._edges[name][0] == "failed"]

    @staticmethod
    def status(name: str) -> str:
        """The expression for the status of a state."""
        return ref(name).source.removesuffix(".output") + ".status"
