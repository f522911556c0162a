"""``ref(…)`` and ``secret(…)``: data in the plan, never text pasted into a command."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from plue._settings import Key

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


_OPEN, _CLOSE = "\ufdd0", "\ufdd1"
_marked: list[str] = []


def is_marked(text: str) -> bool:
    """Whether a text holds a reference."""
    return _OPEN in text or _CLOSE in text


def template_of(text: str) -> str:
    """The template that a text with references is."""
    first, *parts = text.split(_OPEN)
    written = first.replace("${", "$${")
    for part in parts:
        index, _, rest = part.partition(_CLOSE)
        written += "${" + _marked[int(index)] + "}" + rest.replace("${", "$${")
    return written


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
        """A mark that stands for it in a text; where the text becomes a value it is a template."""
        if "$expr" not in self.value:
            raise TypeError(
                f"{self!r} has no text while the plan is made; pass it in env={{…}} and read the variable in the step"
            )
        _marked.append(self.source)
        return f"{_OPEN}{len(_marked) - 1}{_CLOSE}"

    def __format__(self, spec: str) -> str:
        if spec:
            raise ValueError(f"{self!r} takes no format `{spec}`: it has no value while the plan is made")
        return str(self)

    def __bool__(self) -> bool:
        raise TypeError(f'{self!r} has no value while the plan is made; decide in the run, with when="…"')

    def __repr__(self) -> str:
        word = {"$secret": "secret", "$template": "template"}.get(next(iter(self.value)), "ref")
        return f'{word}("{self.source}")'


def ref(step: str | HasId | Key, path: str | None = None) -> Reference:
    """The output of a step, or a part of it: ``ref("build", "version")``; of a context key: ``ref(key)``."""
    if isinstance(step, str):
        source = f"steps{_part(step)}.output"
    elif hasattr(step, "id"):
        source = f"steps{_part(step.id)}.output"
    else:
        source = f"context{_part(step.name)}"
    for part in path.split(".") if path is not None else []:
        if not part:
            raise ValueError("`path` of ref has an empty part")
        source += f"[{part}]" if re.fullmatch("[0-9]+", part) else _part(part)
    return Reference("$expr", source)


def secret(name: str) -> Reference:
    """A secret by name; its text reaches the step and nothing else."""
    return Reference("$secret", name)


def template(text: str) -> Reference:
    """A text with expressions in it: ``template("Release ${steps.v.output.tag}?")``."""
    return Reference("$template", text)


def _part(part: str) -> str:
    if re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", part) and part not in _RESERVED:
        return f".{part}"
    escaped = part.replace("\\", "\\\\").replace('"', '\\"')
    return f'["{escaped}"]'
