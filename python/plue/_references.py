"""``ref(…)`` and ``secret(…)``: data in the plan, never text pasted into a command."""

from __future__ import annotations

import re
from typing import Protocol

_RESERVED = frozenset(
    [
        "as",
        "break",
        "const",
        "continue",
        "else",
        "false",
        "for",
        "function",
        "if",
        "import",
        "in",
        "let",
        "loop",
        "namespace",
        "null",
        "package",
        "return",
        "true",
        "var",
        "void",
        "while",
    ]
)


class HasId(Protocol):
    """Something with the id of a step."""

    @property
    def id(self) -> str:
        """The id."""
        ...


class Reference:
    """A value that only the run knows: an expression or a secret."""

    __slots__ = ("source", "value")

    def __init__(self, key: str, source: str) -> None:
        self.source = source
        self.value = {key: source}

    def __str__(self) -> str:
        raise TypeError(
            f"{self!r} has no text while the plan is made; pass it in env={{…}} and read the variable in the step"
        )

    def __format__(self, spec: str) -> str:
        return str(self)

    def __bool__(self) -> bool:
        raise TypeError(f'{self!r} has no value while the plan is made; decide in the run, with when="…"')

    def __repr__(self) -> str:
        word = "secret" if "$secret" in self.value else "ref"
        return f'{word}("{self.source}")'


def ref(step: str | HasId, path: str | None = None) -> Reference:
    """The output of a step, or a part of it: ``ref("build", "version")``."""
    name = step if isinstance(step, str) else step.id
    source = f"steps{_part(name)}.output"
    for part in path.split(".") if path is not None else []:
        if not part:
            raise ValueError("`path` of ref has an empty part")
        source += f"[{part}]" if re.fullmatch("[0-9]+", part) else _part(part)
    return Reference("$expr", source)


def secret(name: str) -> Reference:
    """A secret by name; its text reaches the step and nothing else."""
    return Reference("$secret", name)


def _part(part: str) -> str:
    if re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", part) and part not in _RESERVED:
        return f".{part}"
    escaped = part.replace("\\", "\\\\").replace('"', '\\"')
    return f'["{escaped}"]'
