"""JSON that comes back as it was given: a fast way for nearly every line, an exact one for the rest."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NoReturn

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_DEPTH = 200
"""Levels of nesting that are accepted: what orjson can write again (254), less what we wrap around it."""
MAX_DIGITS = 4300
"""Digits of an integer that Python converts."""

# Every digit as 0, all else as a space: a search for 19 zeros finds long integers far faster than a pattern does.
_DIGITS = bytes(0x30 if 0x30 <= byte <= 0x39 else 0x20 for byte in range(256))
_LONG = b"0" * 19
_SURROGATE = re.compile("[\ud800-\udfff]")


class _Spelled(float):
    """A number too large for a double, which remembers how it was written (1e400), since Infinity is no JSON."""

    text: str


class _Exactly:
    """The standard library's decoder, which notes whether the fast way would have changed a number."""

    def __init__(self) -> None:
        self.needed = False
        self._decoder = json.JSONDecoder(parse_int=self._integer, parse_float=self._float)

    def decode(self, text: str) -> object:
        value: object = self._decoder.decode(text)
        return value

    def _integer(self, digits: str) -> int:
        if len(digits.lstrip("-")) > MAX_DIGITS:
            raise ValueError(f"an integer of more than {MAX_DIGITS} digits. Write it as a string.")
        number = int(digits)
        self.needed |= not -(2**63) <= number < 2**64
        return number

    def _float(self, text: str) -> float:
        number = _Spelled(text)
        if number not in (float("inf"), float("-inf")):
            return float(number)
        number.text = text
        return number


def loads(line: bytes) -> tuple[object, bool]:
    """One line's value, and whether only `dumps(..., exact=True)` writes it as it was.

    That is so with lone surrogates, NaN and Infinity, and numbers beyond 64 bits. Of duplicate keys the last counts.
    Raises ValueError, with the column in characters (from 1), for what is not UTF-8 or not JSON, is nested deeper
    than MAX_DEPTH, or holds an integer of more than MAX_DIGITS digits.
    """
    exact = False
    try:
        value: object = orjson.loads(line)
    except orjson.JSONDecodeError:
        value, exact = _loads_exactly(line)[0], True
    else:
        if _LONG in line.translate(_DIGITS):
            exactly, exact = _loads_exactly(line)
            value = exactly if exact else value
    if line.count(b"[") + line.count(b"{") > MAX_DEPTH and _is_deep(value):
        _refuse_depth()
    return value, exact


def dumps(value: object, *, exact: bool = False) -> bytes:
    """One line of JSON without its newline. `exact` as `loads` gave it: NaN stays NaN and 1e400 stays 1e400.

    What the fast way refuses (lone surrogates, integers beyond 64 bits) takes the exact way unasked.
    Raises TypeError for what is no JSON value.
    """
    if not exact:
        try:
            return orjson.dumps(value)
        except orjson.JSONEncodeError:
            pass  # the exact way below can do more, and raises for what it can't
    # a lone surrogate can only stand inside a string, where a backslash escape is how JSON writes it
    return _spell(value).encode("utf-8", "backslashreplace")


def scrub(text: str) -> str:
    """Replace each lone surrogate by U+FFFD, so that the text can be sent."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return _SURROGATE.sub("\ufffd", text)
    return text


def _loads_exactly(line: bytes) -> tuple[object, bool]:
    exactly = _Exactly()
    try:
        return exactly.decode(line.decode()), exactly.needed
    except UnicodeDecodeError as error:
        column = len(line[: error.start].decode()) + 1
        raise ValueError(f"not UTF-8 at column {column}. Save the file as UTF-8.") from None
    except json.JSONDecodeError as error:
        what = error.msg.rstrip(": ").removesuffix(" at")
        raise ValueError(f"not JSON: {what} at column {error.pos + 1}.") from None
    except RecursionError:
        _refuse_depth()


def _refuse_depth() -> NoReturn:
    raise ValueError(f"nested deeper than {MAX_DEPTH} levels.") from None


def _is_deep(value: object) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [child for parent in level for child in _children(parent) if isinstance(child, dict | list)]
        if not level:
            return False
    return True


def _children(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _spell(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{_spell(key)}:{_spell(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_spell, value)) + "]"
    return value.text if isinstance(value, _Spelled) else json.dumps(value, ensure_ascii=False)
