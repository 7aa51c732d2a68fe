"""The body of a response, whatever it holds, as objects, texts and counts."""

from __future__ import annotations

import re
from collections.abc import Mapping

import orjson

from aifeedback.jsontext import dumps, loads, scrub


def json_object(payload: bytes) -> dict[str, object] | None:
    """The object that a body is; None where it is none."""
    payload = payload.removeprefix(b"\xef\xbb\xbf")
    try:
        data: object = orjson.loads(payload)
    except ValueError:
        try:
            data, _ = loads(payload)
        except ValueError:
            return None
    if isinstance(data, list) and len(data) == 1:
        data = data[0]  # Gemini's compatible layer wraps its errors so
    return data if isinstance(data, dict) else None


def text_of(value: object) -> str:
    """A text field; content parts are joined, whatever else is not text is written as JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value if value.isascii() else scrub(value)
    if isinstance(value, list) and all(isinstance(part, dict) for part in value):
        return "".join(text_of(part.get("text")) for part in value if part.get("type", "text") == "text")
    return scrub(dumps(value).decode())


def part_of(value: Mapping[str, object], name: str) -> Mapping[str, object]:
    """The object inside another; an empty one where it has none."""
    part = value.get(name)
    return part if isinstance(part, dict) else {}


def tool_input(message: Mapping[str, object]) -> str:
    """The input of the one tool that a message calls: some gateways force JSON that way, and leave it there."""
    calls = message.get("tool_calls")
    if not isinstance(calls, list) or len(calls) != 1 or not isinstance(calls[0], dict):
        return ""
    return text_of(part_of(calls[0], "function").get("arguments"))


def count_of(value: object) -> int:
    """A number of tokens; 0 for what is none."""
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 2**53 else 0


def glimpse(payload: bytes) -> str:
    """The beginning of a body, for a message about it."""
    text = re.sub(r"<[^>]{0,500}>", " ", payload[:2000].decode("utf-8", "replace"))
    return repr(" ".join(text.split())[:120]) if payload else "nothing"
