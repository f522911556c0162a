"""Canonical JSON (RFC 8785) and what may stand in a plan."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from plue._references import Reference, is_marked, template_of

_MAX_WHOLE = 1 << 53


def canonical(value: Any) -> str:
    """The one spelling of a JSON value: sorted keys, no spaces, numbers as ECMAScript writes them."""
    if value is None or isinstance(value, (bool, str)):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, Mapping):
        keys = sorted(value, key=lambda key: str(key).encode("utf-16-be"))
        members = (f"{json.dumps(key, ensure_ascii=False)}:{canonical(value[key])}" for key in keys)
        return "{" + ",".join(members) + "}"
    return "[" + ",".join(canonical(item) for item in value) + "]"


def plan_hash(text: str) -> str:
    """The hash of a canonical plan."""
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def _number(value: float) -> str:
    if value != value or value in (float("inf"), float("-inf")):
        raise ValueError("a number of a plan is finite")
    if value == int(value) and abs(value) < 1e21:
        return str(int(value))
    mantissa, _, exponent = repr(value).partition("e")
    if not exponent:
        return mantissa
    power = int(exponent)
    sign, digits = ("-", mantissa[1:]) if mantissa.startswith("-") else ("", mantissa)
    if -7 <= power < 0:
        return f"{sign}0.{'0' * (-power - 1)}{digits.replace('.', '')}"
    digits = digits.removesuffix(".0") if hasattr(digits, "removesuffix") else digits
    return f"{sign}{digits}e{'+' if power > 0 else '-'}{abs(power)}"


def data(value: Any, what: str, references: bool) -> Any:
    """A JSON value of the file, copied; ``references`` allows ``ref`` and ``secret`` in it."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        if references and is_marked(value):
            return {"$template": template_of(value)}
        return text(value, what)
    if isinstance(value, int):
        if abs(value) > _MAX_WHOLE:
            raise ValueError(f"{what} is a number beyond 2^53")
        return int(value)
    if isinstance(value, float):
        return value
    if isinstance(value, Reference):
        if not references:
            raise TypeError(f"{what} takes no reference")
        return dict(value.value)
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise TypeError(f"{what} has a key that is no text")
        if references and {"$expr", "$secret", "$template"} & set(value):
            raise ValueError(f"{what} has a reserved key; use ref(…) and secret(…)")
        return {str(key): data(item, what, references) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [data(item, what, references) for item in value]
    raise TypeError(f"{what} is {type(value).__name__}, which is no JSON value")


def text(value: object, what: str) -> str:
    """Text that is known when the plan is made."""
    if not isinstance(value, str):
        raise TypeError(f"{what} is text, not {type(value).__name__}")
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError(f"{what} holds NUL or half a character")
    if is_marked(value):
        raise TypeError(f"{what} holds a reference, which has no value while the plan is made")
    return str(value)


def texts(values: Sequence[str], what: str) -> list[str]:
    """A list of texts."""
    if not isinstance(values, (list, tuple)):
        raise TypeError(f"{what} is a list of texts")
    return [text(value, what) for value in values]


def duration(value: str | int, what: str) -> str:
    """``"1h30m"``, or a whole number of seconds."""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value}s"
    return text(value, what)


def duration_unless(value: str | int | None, what: str, default: str) -> str | None:
    """The duration, or nothing when it is as long as the default."""
    if value is None:
        return None
    given = duration(value, what)
    length = _milliseconds(given)
    return None if length is not None and length == _milliseconds(default) else given


def _milliseconds(given: str) -> int | None:
    match = re.fullmatch("(?:([0-9]+)d)?(?:([0-9]+)h)?(?:([0-9]+)m)?(?:([0-9]+)s)?(?:([0-9]+)ms)?", given, re.ASCII)
    if not given or match is None:
        return None
    scales = (86_400_000, 3_600_000, 60_000, 1_000, 1)
    return sum(int(number or 0) * scale for number, scale in zip(match.groups(), scales))


def put(fields: dict[str, Any], name: str, value: Any, default: Any = None) -> None:
    """Sets a field unless it equals its default."""
    if value is not None and value != default and value != [] and value != {}:
        fields[name] = value
