"""A pair as the page holds it: small, its texts cut at a stated length, and safe inside a script element."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from aifeedback.jsontext import dumps
from aifeedback.records import Content, Invalid, Label, Order, Verdict, text_of
from aifeedback.report.kinds import contest

_TURNS_FIRST, _TURNS_LAST = 2, 10
_VERDICTS = 24
_NAME = 200
# What could end the element, begin another or a comment, or end a line of script.
_UNSAFE = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"}


@dataclass(frozen=True, slots=True)
class Cut:
    """How many characters of a prompt's turn or a response, and of a reason, are kept."""

    text: int
    reason: int


WHOLE = Cut(20_000, 4_000)
SHORT = Cut(1_500, 400)


def entry(label: Label | Invalid, kinds: tuple[str, ...], cut: Cut) -> str:
    """The pair as one JSON object that may stand inside `<script type="application/json">`."""
    fields = _bad_line(label, cut) if isinstance(label, Invalid) else _pair(label, cut)
    fields |= {"k": kinds, "c": contest(label), "s": "" if label.status is None else label.status.value}
    return in_script(dumps({name: value for name, value in fields.items() if value not in ("", None, (), [])}))


def shared_out(verdicts: Sequence[Verdict], most: int) -> list[Verdict]:
    """At most so many, from both orders alike, so that a page that can't hold all hides neither."""
    by_order = [[verdict for verdict in verdicts if verdict.order is order] for order in Order]
    turns = [verdict for together in zip_longest(*by_order) for verdict in together if verdict is not None]
    kept = {id(verdict) for verdict in turns[:most]}
    return [verdict for verdict in verdicts if id(verdict) in kept]


def in_script(json: bytes) -> str:
    """JSON in which nothing is left that HTML could take for its own; it means the same."""
    return json.decode("utf-8").translate(_UNSAFE)


def _pair(label: Label, cut: Cut) -> dict[str, object]:
    pair = label.pair
    return {
        "id": pair.id[:_NAME],
        "y": _text(pair.system, cut.text),
        "p": _content(pair.prompt, cut.text),
        "a": _content(pair.response_a, cut.text),
        "b": _content(pair.response_b, cut.text),
        "la": len(text_of(pair.response_a)),
        "lb": len(text_of(pair.response_b)),
        "ma": pair.model_a[:_NAME],
        "mb": pair.model_b[:_NAME],
        "ref": _text(pair.reference, cut.text),
        "g": pair.gold,
        "vo": list(pair.votes[:50]),
        "w": label.winner,
        "pa": label.p_a,
        "by": label.decided_by[:_NAME],
        "v": [
            [v.critic[:_NAME], v.order.value, v.p_a, int(v.soft), _text(v.reason or v.why, cut.reason), v.sample]
            for v in shared_out(label.verdicts, _VERDICTS)
        ],
        "vm": max(len(label.verdicts) - _VERDICTS, 0) or None,
        "f": pair.file[:_NAME],
        "l": pair.line,
        "r": _text(label.reason, cut.reason),
    }


def _bad_line(bad: Invalid, cut: Cut) -> dict[str, object]:
    return {
        "id": bad.id[:_NAME],
        "raw": _text(bad.raw, cut.text),
        "f": bad.file[:_NAME],
        "l": bad.line,
        "r": _text(bad.reason, cut.reason),
    }


def _content(content: Content, limit: int) -> object:
    """A text, or the turns of a dialogue: `[role, text]` each, a number for so many turns left out."""
    if isinstance(content, str):
        return _text(content, limit)
    turns: list[object] = [[message.role[:_NAME], _text(message.content, limit)] for message in content]
    left_out = len(turns) - _TURNS_FIRST - _TURNS_LAST
    return turns if left_out <= 0 else [*turns[:_TURNS_FIRST], left_out, *turns[-_TURNS_LAST:]]


def _text(text: str, limit: int) -> object:
    """The text; where it is longer than `limit`, its head and how many characters more there are."""
    return text if len(text) <= limit else {"t": text[:limit], "m": len(text) - limit}
