"""JSON objects found in a critic's text: strictly parsed, and never completed where something is missing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

_LONGEST_RELAXED = 200_000
_STRINGS_AND_COMMENTS = r"\"(?:[^\"\\]++|\\.)*+\"?|'(?:[^'\\]++|\\.)*+'?|//[^\n]*+|/\*(?:[^*]++|\*(?!/))*+(?:\*/)?"
_START = re.compile(r"\{\s*+[\"'/}]")
_FENCE = re.compile(r"(?:```|~~~)[ \t]*\w*\s*$")
_TOKEN = re.compile(rf"{_STRINGS_AND_COMMENTS}|[{{}}]", re.DOTALL)
_PYTHONIC = re.compile(rf"{_STRINGS_AND_COMMENTS}|\b(?:None|True|False)\b", re.DOTALL)
_TRAILING_COMMA = re.compile(r"\"(?:[^\"\\]++|\\.)*+\"?|,(?=\s*+[}\]])", re.DOTALL)
_ESCAPED = re.compile(r"\\.|\"", re.DOTALL)
_CONSTANTS = {"None": "null", "True": "true", "False": "false"}


class Contradictory(dict[str, object]):
    """An object in which some key stands several times with different values; `keys_twice` names those."""

    keys_twice: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Found:
    """One object of a text: its value, None where it is broken, and where it began and ended."""

    value: object
    start: int
    end: int
    fenced: bool


def _as_object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    as_dict = dict(pairs)
    if len(as_dict) == len(pairs):
        return as_dict
    twice = Contradictory(as_dict)
    twice.keys_twice = frozenset(key for key, value in pairs if as_dict[key] != value)
    return twice


# Not strict: critics leave line breaks in strings unescaped.
_DECODER = json.JSONDecoder(object_pairs_hook=_as_object, strict=False)
NOT_JSON = object()


def parse(text: str) -> object:
    """The value that all of `text` spells, or NOT_JSON."""
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError):
        return NOT_JSON


def objects_in(text: str) -> Iterator[Found]:
    """The objects that stand in `text`, outermost ones only, in order; linear in its length.

    An object that does not parse is given with the value None: what stands inside it must not be taken for an answer.
    """
    position = 0
    while start := _START.search(text, position):
        begin = start.start()
        end = _end_of_object(text, begin)
        value = parse(text[begin:end])
        if value is NOT_JSON:
            value = _parse_relaxed(text[begin:end])
        fenced = _FENCE.search(text, max(0, begin - 40), begin) is not None
        yield Found(None if value is NOT_JSON else value, begin, end, fenced)
        position = end


def _end_of_object(text: str, start: int) -> int:
    """Just behind the brace that closes the one at `start`, strings respected; the end of the text without one."""
    depth = 0
    for token in _TOKEN.finditer(text, start):
        if token[0] == "{":
            depth += 1
        elif token[0] == "}":
            depth -= 1
            if depth == 0:
                return token.end()
    return len(text)


def _parse_relaxed(text: str) -> object:
    """The value, where only comments, trailing commas or Python's way of writing stand between `text` and JSON."""
    if len(text) > _LONGEST_RELAXED:
        return NOT_JSON
    return parse(_TRAILING_COMMA.sub(_keep_string, _PYTHONIC.sub(_as_json, text)))


def _as_json(token: re.Match[str]) -> str:
    found = token[0]
    if found[0] == "'" and found[-1] == "'" and len(found) > 1:
        return f'"{_ESCAPED.sub(_requoted, found[1:-1])}"'
    if found[0] == "/":
        return " "
    return _CONSTANTS.get(found, found)


def _requoted(escaped: re.Match[str]) -> str:
    return {'"': '\\"', "\\'": "'"}.get(escaped[0], escaped[0])


def _keep_string(token: re.Match[str]) -> str:
    return "" if token[0] == "," else token[0]


def in_words(value: object) -> str:
    """A value of any type as text, nothing as an empty one."""
    if value is None or isinstance(value, str):
        return value or ""
    try:
        return json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return "(too deeply nested)"
