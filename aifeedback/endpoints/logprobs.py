"""The tokens of a reply with the log probabilities that an endpoint gave, at their places in what was said: pure, raises for no JSON."""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate

from aifeedback.endpoints.payload import part_of
from aifeedback.jsontext import scrub
from aifeedback.records import Token

KEPT = 32
"""So many tokens at the end are kept: a verdict stands there, and a whole reply's alternatives take half a megabyte."""
_MOST_AFTER = 8
"""So many tokens may follow what was said: an end mark, or a stop sequence that was cut off. More, and it is not the end."""
_LEAST = -9999.0
"""What OpenAI writes for a probability of 0, also in place of minus infinity, which JSON can't say."""
_MOST_SUM = 1.001
_LOST = "\ufffd".encode()
_ROUNDING = 1e-4
"""So much above 0 a log probability may be: single precision rounds that of a token that is all but certain."""


def tokens_of(data: Mapping[str, object], choice: Mapping[str, object], said: str) -> tuple[Token, ...]:
    """The last tokens of what was said in a `choice` of a response's `data`; none where no probabilities fit it.

    White space around what was said belongs to no token.
    """
    given = choice.get("logprobs") or part_of(choice, "message").get("logprobs") or data.get("logprobs")
    if not given:
        return ()
    entries = _entries(given)
    spelled = [_bytes(entry) for entry in entries]
    core = said.strip()
    wanted = core.encode("utf-8", "surrogatepass")
    edges = [0, *accumulate(map(len, spelled))]
    start = _place(wanted, spelled, edges)
    if start is not None:
        first = bisect_right(edges, start) - 1
    elif known := _place_of_end(wanted, spelled, edges):
        start, first = known
    else:
        return ()
    end = start + len(wanted)
    numbers = [n for n in range(first, len(spelled)) if spelled[n] and edges[n] < end][-KEPT:]
    characters = _Characters(wanted, before=len(said) - len(said.lstrip()), count=len(core))
    tokens = tuple(
        Token(
            characters.at(max(edges[n] - start, 0)),
            characters.reached(min(edges[n + 1], end) - start),
            _alternatives(entries[n]),
        )
        for n in numbers
    )
    return tokens if any(token.alternatives for token in tokens) else ()


def _entries(given: object) -> Sequence[Mapping[str, object]]:
    """One entry for each token, as OpenAI's API has them; empty where there are none."""
    if isinstance(given, Mapping):
        content = given.get("content")
        given = content if isinstance(content, list) else _legacy(given)
    return given if isinstance(given, list) and all(isinstance(entry, dict) for entry in given) else ()


def _legacy(given: Mapping[str, object]) -> list[object]:
    """The same from the completions API's lists, which some servers use for chats too."""
    texts, own, others = (given.get(name) for name in ("tokens", "token_logprobs", "top_logprobs"))
    if not isinstance(texts, list):
        return []
    entries: list[object] = []
    for number, text in enumerate(texts):
        listed = _item(others, number)
        if isinstance(listed, dict):
            listed = [{"token": token, "logprob": value} for token, value in listed.items()]
        entries.append({"token": text, "logprob": _item(own, number), "top_logprobs": listed})
    return entries


def _item(values: object, number: int) -> object:
    return values[number] if isinstance(values, list) and number < len(values) else None


def _bytes(entry: Mapping[str, object]) -> bytes:
    """What a token spells: a character may be split over several, and then only the bytes say how."""
    given, text = entry.get("bytes"), entry.get("token")
    if isinstance(given, list):
        try:
            return bytes(given)
        except (TypeError, ValueError):
            pass
    return text.encode("utf-8", "surrogatepass") if isinstance(text, str) else b""


def _place(wanted: bytes, tokens: Sequence[bytes], edges: Sequence[int]) -> int | None:
    """Where `wanted` begins in what all tokens spell: the last place where tokens begin and end with it.

    Thinking may stand before it, marks on either side; but a letter inside of such a mark is no answer.
    """
    spelled = b"".join(tokens)
    if not wanted or not spelled:
        return None
    seen = [number for number, token in enumerate(tokens) if token.strip()]
    latest = edges[seen[-_MOST_AFTER - 1]] if len(seen) > _MOST_AFTER else 0
    found = spelled.rfind(wanted)
    while found >= 0:
        end = found + len(wanted)
        if end <= latest:
            break
        first = edges[bisect_right(edges, found) - 1]
        last = edges[bisect_right(edges, end - 1)]
        if _blank(spelled[first:found]) and _blank(spelled[end:last]):
            return found
        found = spelled.rfind(wanted, 0, end - 1)
    return None


def _place_of_end(wanted: bytes, tokens: Sequence[bytes], edges: Sequence[int]) -> tuple[int, int] | None:
    """The same by the end of `wanted` alone, and the first token there: where a character is split and no bytes are given, what stands before is lost."""
    lost = next((number for number in range(len(tokens) - 1, -1, -1) if _LOST in tokens[number]), len(tokens))
    spelled = b"".join(tokens[lost:])
    begin = spelled.rfind(_LOST) + len(_LOST)
    for count in range(len(tokens), max(lost + 1, len(tokens) - _MOST_AFTER - 1), -1):
        known = spelled[begin : edges[count] - edges[lost]].rstrip()
        if known and wanted.endswith(known) and wanted[: -len(known)][-1:] >= b"\x80":
            return edges[lost] + begin + len(known) - len(wanted), lost + 1
    return None


def _blank(text: bytes) -> bool:
    return not text or not text.decode("utf-8", "replace").strip()


class _Characters:
    """Offsets in bytes as offsets in characters, for a text of `count` characters with `before` more in front of it."""

    def __init__(self, text: bytes, *, before: int, count: int) -> None:
        self._text = text
        self._before = before
        self._count = count
        self._plain = len(text) == count

    def at(self, offset: int) -> int:
        """The character that the byte at `offset` is part of."""
        return self.reached(offset) - self._inside(offset)

    def reached(self, offset: int) -> int:
        """How many characters have begun before `offset`."""
        # Counted from the end: only the last tokens are asked for.
        return self._before + (offset if self._plain else self._count - len(_STARTS.findall(self._text, offset)))

    def _inside(self, offset: int) -> bool:
        return not self._plain and offset < len(self._text) and self._text[offset] & 0xC0 == 0x80


_STARTS = re.compile(rb"[^\x80-\xbf]")


def _alternatives(entry: Mapping[str, object]) -> tuple[tuple[str, float], ...]:
    """What a token could have been, with natural log probabilities; empty where one of them is none."""
    listed = entry.get("top_logprobs")
    if not isinstance(listed, list) or not listed:
        return ()
    found: list[tuple[str, float]] = []
    for each in listed:
        value = _logprob(each.get("logprob")) if isinstance(each, dict) else None
        if value is None:
            return ()
        found.append((_text(each), value))
    text, own = _text(entry), _logprob(entry.get("logprob"))
    if all(text != other for other, _ in found):
        if own is None:
            return ()
        found.append((text, own))
    return tuple(found) if math.fsum(math.exp(value) for _, value in found) <= _MOST_SUM else ()


def _logprob(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value <= _ROUNDING:
        return None
    return float(min(max(value, _LEAST), 0.0))


def _text(entry: Mapping[str, object]) -> str:
    """A token as text: by its bytes, where they are whole characters, since some servers name it by a number."""
    given, text = entry.get("bytes"), entry.get("token")
    if isinstance(given, list):
        try:
            return bytes(given).decode()
        except (TypeError, ValueError):
            pass
    return scrub(text) if isinstance(text, str) else ""
