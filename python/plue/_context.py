"""``ctx``: the event, the inputs and the files of the repository."""

from __future__ import annotations

import fnmatch
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any


class Record:
    """A part of the event; a field that is not there is ``None``."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        value = self._values.get(name)
        return Record(value) if isinstance(value, dict) and name != "payload" else value


class Context:
    """The only input of a workflow besides its source."""

    def __init__(self, root: Path, event: Mapping[str, Any] | None, inputs: Mapping[str, Any]) -> None:
        self._root = root
        self.event: Any = None if event is None else Record(event)
        self.inputs: Mapping[str, Any] = MappingProxyType(dict(inputs))

    @property
    def changed_files(self) -> list[str]:
        """Paths that differ from the last commit, sorted."""
        changed = self._git("diff", "--name-only", "-z", "HEAD") + self._git(
            "ls-files", "-z", "-o", "--exclude-standard"
        )
        return sorted(set(changed), key=str.encode)

    def read(self, path: str) -> str:
        """The text of a file."""
        return (self._root / path).read_bytes().decode()

    def glob(self, pattern: str) -> list[str]:
        """The paths that match, sorted; ``*`` stops at ``/``, ``**`` does not."""
        matcher = re.compile(_glob(pattern[2:] if pattern.startswith("./") else pattern))
        return [path for path in self._files() if matcher.fullmatch(path)]

    def exists(self, path: str) -> bool:
        """Whether a file, or a folder with a file, is there."""
        path = path.strip("/")
        return any(file == path or file.startswith(f"{path}/") for file in self._files())

    def _files(self) -> list[str]:
        found = self._git("ls-files", "-z", "-c", "-o", "--exclude-standard")
        if not found:
            paths = (path.relative_to(self._root) for path in self._root.rglob("*") if path.is_file())
            found = [path.as_posix() for path in paths if ".git" not in path.parts]
        return sorted({path for path in found if (self._root / path).exists()}, key=str.encode)

    def _git(self, *arguments: str) -> list[str]:
        command = ["git", "-C", str(self._root), *arguments]
        done = subprocess.run(command, capture_output=True, check=False)
        return [path.decode() for path in done.stdout.split(b"\0") if path] if done.returncode == 0 else []


def _glob(pattern: str) -> str:
    out, at = "", 0
    while at < len(pattern):
        rest = pattern[at:]
        if rest.startswith("**/"):
            out, at = out + "(?:.*/)?", at + 3
        elif rest.startswith("**"):
            out, at = out + ".*", at + 2
        elif rest[0] == "*":
            out, at = out + "[^/]*", at + 1
        elif rest[0] == "?":
            out, at = out + "[^/]", at + 1
        elif rest[0] == "[" and "]" in rest:
            end = rest.index("]", 2)
            out, at = out + fnmatch.translate(rest[: end + 1])[4:-3], at + end + 1
        elif rest[0] == "{" and "}" in rest:
            end = rest.index("}")
            out, at = out + "(?:" + "|".join(_glob(part) for part in rest[1:end].split(",")) + ")", at + end + 1
        else:
            out, at = out + re.escape(rest[0]), at + 1
    return out
