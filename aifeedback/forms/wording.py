"""How messages about the input name its values and fields."""

from __future__ import annotations

import json

from aifeedback.jsontext import scrub

_LONGEST = 40


def kind(value: object) -> str:
    """What a user calls this kind of JSON value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "text"
    return "a list" if isinstance(value, list) else "an object"


def quoted(name: str) -> str:
    """Quote a field's name of the user's own: on one line, printable, not longer than a line bears."""
    return json.dumps(scrub(name if len(name) <= _LONGEST else f"{name[:_LONGEST]}…"), ensure_ascii=False)
