"""Functions as the code of a ``python`` step: their source text travels, nothing else does."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from typing import Any

_sources: dict[str, str] = {}


def remember(path: str, source: str) -> None:
    """Keeps the text of a file, so that its functions can travel."""
    _sources[path] = source


def travelling(function: Callable[..., Any]) -> tuple[str, str]:
    """The text of a function, moved to the left margin, and its name."""
    name, code = function.__name__, getattr(function, "__code__", None)
    if code is None or name == "<lambda>":
        raise TypeError("give the function itself, defined with `def` in this file")
    source = _sources.get(code.co_filename)
    if source is None:
        file = inspect.getsourcefile(function)
        with open(file or "", encoding="utf-8", newline=None) as lines:
            source = lines.read()
    line = code.co_firstlineno
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if node.name == name and node.lineno == line:
            if node.decorator_list:
                break
            return _dedented(source, node), name
    raise TypeError(f"`{name}` is no plain function of this file")


def _dedented(source: str, node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    lines = [line.encode() for line in source.split("\n")]
    first, last = node.lineno, node.end_lineno or node.lineno
    text = b""
    inside = _string_lines(node)
    for number in range(first, last + 1):
        line = lines[number - 1]
        if number == last:
            line = line[: node.end_col_offset]
        if number == first:
            line = line[node.col_offset :]
        elif number not in inside:
            indent = len(line) - len(line.lstrip(b" \t"))
            line = line[min(indent, node.col_offset) :]
        text += line + b"\n"
    return text.decode()


def _string_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[int]:
    """Lines that begin inside a string: their indentation is content."""
    inside: set[int] = set()
    for statement in function.body:
        for node in ast.walk(statement):
            if isinstance(node, (ast.Constant, ast.JoinedStr)):
                inside.update(range(node.lineno + 1, (node.end_lineno or node.lineno) + 1))
    return inside
