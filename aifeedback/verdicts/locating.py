"""Where in a reply the very answer stands that its reading counted."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from aifeedback.records import PFirst, Reading, Reply, VerdictFormat
from aifeedback.verdicts.offered import core_span, offered
from aifeedback.verdicts.plain_text import dressed_place, plain_text
from aifeedback.verdicts.reading import read_verdict
from aifeedback.verdicts.reasons import CONTRADICTS_REASONING
from aifeedback.verdicts.tags import inside_tag, meanings_of_tags
from aifeedback.verdicts.thinking import without_thinking

# Each candidate costs one more reading of the reply.
_MOST_CANDIDATES = 8
_VALUE = re.compile(r"(\\{0,9}[\"'])(?P<text>[^\n]{0,240}?)(?<!\\)\1|(?P<number>-?\d{1,20})(?![\w.])")


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer's core from `start` to before `end` of `Reply.said`.

    `meanings`: what each core that was offered means; `brackets`: characters around it that are no part of it.
    """

    start: int
    end: int
    meanings: Mapping[str, PFirst | None]
    brackets: str = ""


def locate(reading: Reading, reply: Reply, asked: VerdictFormat) -> Answer | None:
    """The answer that `reading` counted; None where that is not quite sure, or its kind has none of its own."""
    if reading.p_first is None:
        return None
    if asked.kind == "tags":
        return _in_tag(reply, asked)
    if asked.kind == "json" and not reading.method.endswith("bare"):
        return _in_object(reading, reply, asked)
    if asked.kind in {"json", "letter"}:
        return _alone(reply, asked)
    return None


def _in_tag(reply: Reply, asked: VerdictFormat) -> Answer | None:
    text, places = _spoken(reply)
    plain = plain_text(text)
    inside = inside_tag(plain, asked)
    span = core_span(plain[inside[0] : inside[1]]) if inside else None
    if inside is None or span is None:
        return None
    start, end = inside[0] + span[0], inside[0] + span[1]
    if plain != text:
        start, end = dressed_place(text, start), dressed_place(text, end - 1) + 1
    meanings, brackets = meanings_of_tags(asked)
    return Answer(_place(places, start), _place(places, end - 1) + 1, meanings, brackets)


def _alone(reply: Reply, asked: VerdictFormat) -> Answer | None:
    text, places = _spoken(reply)
    blank = len(text) - len(text.lstrip())
    span = core_span(text.strip())
    if span is None:
        return None
    start, end = (_place(places, blank + span[0]), _place(places, blank + span[1] - 1) + 1)
    return Answer(start, end, offered(asked.answers).cores)


def _in_object(reading: Reading, reply: Reply, asked: VerdictFormat) -> Answer | None:
    """The field's value that the reading hangs on: with anything else in its place the reply says nothing any more.

    So the choice among several objects, look-alikes in strings and thinking is the reader's own.
    """
    said, choices = reply.said, offered(asked.answers)
    candidates = [each for each in _values(said, asked.answer_field) if choices.find(said[slice(*each)]) is not None]
    for start, end in (candidates if asked.which == "first" else candidates[::-1])[:_MOST_CANDIDATES]:
        quoted = said[start - 1] in "\"'"
        without = read_verdict(
            _with_said(reply, said[:start] + (_nothing(asked) if quoted else "null") + said[end:]), asked
        )
        if without.p_first is None and without.why != CONTRADICTS_REASONING:
            span = core_span(said[start:end])
            if span is None or choices.find(said[start:end]) != reading.p_first:
                return None
            return Answer(start + span[0], start + span[1], choices.cores)
    return None


def _values(said: str, field: str) -> Iterator[tuple[int, int]]:
    """From where to where short values stand behind the name of the field, however deep their quotes are escaped."""
    name = field.strip()
    # A search that ignores capitals takes five times as long, and most critics spell the name as they were told.
    as_told = said.casefold().count(name.casefold()) == said.count(name)
    spelled = re.escape(name)
    key = rf"{spelled}(?<!\w{spelled})\s{{0,9}}\\{{0,9}}[\"']\s{{0,40}}:\s{{0,40}}"
    for named in re.finditer(key, said, 0 if as_told else re.IGNORECASE):
        if value := _VALUE.match(said, named.end()):
            yield value.span(value.lastgroup or 0)


def _nothing(asked: VerdictFormat) -> str:
    """A word that no answer is."""
    return "z" * (2 + max((len(answer) for answer in asked.answers), default=0))


def _with_said(reply: Reply, said: str) -> Reply:
    return replace(reply, content=said) if reply.content.strip() else replace(reply, reasoning=said)


def _spoken(reply: Reply) -> tuple[str, tuple[tuple[int, int], ...]]:
    """What is read of a reply in prose, and the slices of `Reply.said` that it is made of."""
    said = reply.said
    spoken = without_thinking(said)
    if reply.content.strip() or spoken.thought:
        return spoken.text, spoken.slices or ((0, len(said)),)
    end = len(said.rstrip())
    start = said.rfind("\n", 0, end) + 1  # beside an empty content, the last line alone counts
    return said[start:end], ((start, end),)


def _place(slices: tuple[tuple[int, int], ...], index: int) -> int:
    """Where the character stands that is at `index` of the slices' text."""
    for start, end in slices:
        if index < end - start:
            return start + index
        index -= end - start
    raise AssertionError("every character comes from a slice")
