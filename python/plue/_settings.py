"""The small words: ``Input``, ``Key``, ``Retry``, ``Goto``, ``Artifacts``, ``Cache``, ``Checkout`` and others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

from plue._canonical import data, duration, duration_unless, put, text, texts
from plue._references import HasId, Reference

_Self = TypeVar("_Self", bound="Setting")
Value = Any
"""JSON, with ``ref`` and ``secret`` in it."""


class Setting:
    """Fields as the plan has them."""

    __slots__ = ("fields",)

    def __init__(self) -> None:
        self.fields: dict[str, Any] = {}

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __copy__(self: _Self) -> _Self:
        return self

    def __deepcopy__(self: _Self, memo: Mapping[int, Any]) -> _Self:
        return self


class Input(Setting):
    """One input of a plan."""

    __slots__ = ()

    def __init__(
        self,
        type: Literal["string", "integer", "number", "boolean", "list", "object"] = "string",
        *,
        default: Any = None,
        required: bool = False,
        choices: Sequence[Any] = (),
        description: str | None = None,
    ) -> None:
        super().__init__()
        put(self.fields, "type", type, "string")
        if default is not None:
            self.fields["default"] = data(default, "`default` of Input", False)
        put(self.fields, "description", description)
        put(self.fields, "required", required, False)
        put(self.fields, "choices", [data(item, "`choices` of Input", False) for item in choices])


class Key(Setting):
    """A context key: a value that steps write and later steps read with ``ref(key)``."""

    __slots__ = ("name",)

    def __init__(
        self,
        name: str,
        schema: Mapping[str, Any] | bool | None = None,
        *,
        merge: Literal["error", "last", "list", "map"] = "error",
    ) -> None:
        super().__init__()
        self.name = text(name, "`name` of Key")
        if schema is not None:
            self.fields["schema"] = data(schema, "`schema` of Key", False)
        put(self.fields, "merge", merge, "error")


class Retry(Setting):
    """Tries of a step, the first included."""

    __slots__ = ()

    def __init__(
        self,
        max_attempts: int = 3,
        *,
        delay: str | int = "5s",
        backoff: Literal["fixed", "exponential"] = "fixed",
        max_delay: str | int | None = None,
        jitter: float | None = None,
        on: Sequence[str] = (),
    ) -> None:
        super().__init__()
        put(self.fields, "max_attempts", max_attempts, 3)
        put(self.fields, "delay", duration_unless(delay, "`delay` of Retry", "5s"))
        put(self.fields, "backoff", backoff, "fixed")
        put(self.fields, "max_delay", None if max_delay is None else duration(max_delay, "`max_delay` of Retry"))
        put(self.fields, "jitter", None if jitter is None else float(jitter))
        put(self.fields, "on", texts(on, "`on` of Retry"))


class Goto(Setting):
    """The only way back: to the step or one of its ancestors, a bounded number of times."""

    __slots__ = ()

    def __init__(self, target: str | HasId, max_visits: int | None = None) -> None:
        super().__init__()
        self.fields = {"goto": target if isinstance(target, str) else target.id, "max_visits": max_visits}


class Artifacts(Setting):
    """Files that are kept after a step, and what it means when there are none or they cannot be kept."""

    __slots__ = ()

    def __init__(
        self,
        paths: Sequence[str],
        *,
        missing: Literal["warn", "fail", "ignore"] = "warn",
        lost: Literal["fail", "warn"] = "fail",
    ) -> None:
        super().__init__()
        self.fields = {"paths": texts(paths, "`paths` of Artifacts")}
        put(self.fields, "missing", missing, "warn")
        put(self.fields, "lost", lost, "fail")


class Cache(Setting):
    """Directories that are restored before a step and saved after it succeeded."""

    __slots__ = ()

    def __init__(self, key: str | Reference, paths: Sequence[str], *, restore: Sequence[str] = ()) -> None:
        super().__init__()
        self.fields = {"key": data(key, "`key` of Cache", True), "paths": texts(paths, "`paths` of Cache")}
        put(self.fields, "restore", texts(restore, "`restore` of Cache"))


class Checkout(Setting):
    """The Git repository around the files of a run on a server."""

    __slots__ = ()

    def __init__(
        self,
        *,
        fetch_depth: int | None = None,
        tags: bool = True,
        submodules: bool = False,
        lfs: bool = False,
    ) -> None:
        super().__init__()
        put(self.fields, "fetch_depth", fetch_depth)
        put(self.fields, "tags", tags, True)
        put(self.fields, "submodules", submodules, False)
        put(self.fields, "lfs", lfs, False)


class Concurrency(Setting):
    """Runs of one group never overlap."""

    __slots__ = ()

    def __init__(self, group: str | Reference, cancel_in_progress: bool = False) -> None:
        super().__init__()
        self.fields = {"group": data(group, "`group` of Concurrency", True)}
        put(self.fields, "cancel_in_progress", cancel_in_progress, False)


class Budget(Setting):
    """What may be spent."""

    __slots__ = ()

    def __init__(self, *, usd: float | None = None, tokens: int | None = None) -> None:
        super().__init__()
        put(self.fields, "usd", None if usd is None else float(usd))
        put(self.fields, "tokens", tokens)


class Service(Setting):
    """A process next to a step."""

    __slots__ = ()

    def __init__(self, image: str, port: int, *, env: Mapping[str, Value] | None = None) -> None:
        super().__init__()
        self.fields = {"image": text(image, "`image` of Service"), "port": port}
        put(self.fields, "env", data(env or {}, "`env` of Service", True))


class Mcp(Setting):
    """An MCP server of a Claude step."""

    __slots__ = ()

    def __init__(
        self,
        name: str,
        *,
        command: Sequence[str] = (),
        env: Mapping[str, Value] | None = None,
        url: str | None = None,
        headers: Mapping[str, Value] | None = None,
        pin: str | None = None,
    ) -> None:
        super().__init__()
        self.fields = {"name": text(name, "`name` of Mcp")}
        put(self.fields, "command", texts(command, "`command` of Mcp"))
        put(self.fields, "env", data(env or {}, "`env` of Mcp", True))
        put(self.fields, "url", url)
        put(self.fields, "headers", data(headers or {}, "`headers` of Mcp", True))
        put(self.fields, "pin", pin)


class Prompt(Setting):
    """A prompt file of ``.plue/prompts`` (or one that comes with plue) with its inputs."""

    __slots__ = ()

    def __init__(self, name: str, **inputs: Value) -> None:
        super().__init__()
        self.fields = {"name": text(name, "`name` of Prompt")}
        put(self.fields, "inputs", {key: data(value, f"`{key}` of Prompt", True) for key, value in inputs.items()})
