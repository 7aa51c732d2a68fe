"""A verdict from a tag such as `[[A]]` or `[[A>>B]]` in prose."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from aifeedback.records import PFirst, Reading, VerdictFormat
from aifeedback.verdicts.choosing import choose
from aifeedback.verdicts.contradictions import contradicts
from aifeedback.verdicts.offered import by_core, core
from aifeedback.verdicts.plain_text import plain_text
from aifeedback.verdicts.reasons import (
    CONTRADICTS_REASONING,
    DISAGREEING,
    NO_TAG,
    NOT_OFFERED,
    ONLY_LISTED,
    ONLY_MENTIONED,
    unparsed,
)

_JOINED = re.compile(r"[\s\"'“”‘’]*(?:[,;/|]|\bor\b|\band\b|\bvs\b\.?)+(?:[\s\"'“”‘’]|\bor\b|\band\b)*", re.IGNORECASE)
_MENTION_BEFORE = re.compile(
    r"(?:\b(?:not|never|cannot|neither|nor|than|instead\s+of|unless|whether|if)|n['’]t)\s+"
    r"(?:(?:choose|pick|select|say|give|output|prefer|answer|write|be|is|a|an|the|verdict|for|with|go)\s+){0,3}"
    r"[\"'“‘(]*$",
    re.IGNORECASE,
)
_MENTION_AFTER = re.compile(
    r"[\"'”’)]*\s+(?:(?:only\s+)?if\b|for\s+(?:a\s+)?(?:tie|draw)\b|means\b|in\s+case\b|would\b)",
    re.IGNORECASE,
)
_ENTITIES = (("&gt;", ">"), ("&lt;", "<"), ("&#62;", ">"), ("&#60;", "<"))


@dataclass(frozen=True, slots=True)
class _Tag:
    """A tag where it stands; `p_first` None where nobody offered it."""

    content: str
    p_first: PFirst | None
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Tags:
    """How this format's tags are recognised, and what their contents mean."""

    pattern: re.Pattern[str]
    meanings: Mapping[str, PFirst | None]
    brackets: str

    def in_text(self, text: str) -> list[_Tag]:
        return [
            _Tag(found[1].strip(), self.meanings.get(_meant(found[1])), found.start(), found.end())
            for found in self.pattern.finditer(text)
        ]


def read_tag(text: str, asked: VerdictFormat) -> Reading:
    """The verdict of the tag that counts. A tag that nobody offered is not passed over for one before it."""
    plain = plain_text(text)
    chosen = _chosen(plain, asked)
    if isinstance(chosen, Reading):
        return chosen
    if chosen.p_first is None:
        return unparsed(NOT_OFFERED, plain[chosen.start : chosen.end])
    if contradicts(plain[: chosen.start], chosen.p_first, asked.answers):
        return unparsed(CONTRADICTS_REASONING, reason=text.strip())
    return Reading(chosen.p_first, method="tag", reason=text.strip())


def inside_tag(plain: str, asked: VerdictFormat) -> tuple[int, int] | None:
    """From where to where the content of the tag that counts stands in a plain text; None where none does."""
    chosen = _chosen(plain, asked)
    if isinstance(chosen, Reading):
        return None
    found = _tags_for(tuple(asked.answers.items())).pattern.match(plain, chosen.start)
    return found.span(1) if found else None


def meanings_of_tags(asked: VerdictFormat) -> tuple[Mapping[str, PFirst | None], str]:
    """What the contents of tags mean, by their core, and the characters that the tags' brackets are made of."""
    tags = _tags_for(tuple(asked.answers.items()))
    return tags.meanings, tags.brackets


def _chosen(plain: str, asked: VerdictFormat) -> _Tag | Reading:
    """The tag that counts, or why none does."""
    tags = _tags_for(tuple(asked.answers.items())).in_text(plain)
    if not tags:
        return unparsed(NO_TAG)
    groups = _grouped(tags, plain)
    if len(groups[-1]) > 1 and asked.which != "first":
        return unparsed(ONLY_LISTED, plain[groups[-1][0].start : groups[-1][-1].end])
    verdicts = [group[0] for group in groups if len(group) == 1 and not _is_mention(group[0], plain)]
    if asked.which == "agreeing" and verdicts:
        # An answer of the critic's own, before the verdict, may hold double brackets: code, links.
        verdicts = [tag for tag in verdicts[:-1] if tag.p_first is not None] + verdicts[-1:]
    if not verdicts:
        return unparsed(ONLY_LISTED if all(len(group) > 1 for group in groups) else ONLY_MENTIONED)
    chosen = choose(verdicts, asked.which, lambda tag: tag.p_first)
    return chosen if chosen is not None else unparsed(DISAGREEING, ", ".join(tag.content for tag in verdicts[-9:]))


def _grouped(tags: Iterable[_Tag], text: str) -> list[list[_Tag]]:
    """The tags in order; those that a list such as "[[A]], [[B]] or [[C]]" joins are in one group."""
    groups: list[list[_Tag]] = []
    for tag in tags:
        before = groups[-1][-1] if groups else None
        joined = before is not None and tag.start - before.end <= 40 and _JOINED.fullmatch(text, before.end, tag.start)
        if before is not None and joined and before.content != tag.content:
            groups[-1].append(tag)
        else:
            groups.append([tag])
    return groups


def _is_mention(tag: _Tag, text: str) -> bool:
    before = text[max(0, tag.start - 80) : tag.start]
    return bool(_MENTION_BEFORE.search(before) or _MENTION_AFTER.match(text, tag.end, tag.end + 40))


@lru_cache(maxsize=256)
def _tags_for(answers: tuple[tuple[str, PFirst], ...]) -> _Tags:
    spelled = {plain_text(answer): p_first for answer, p_first in answers}
    before, after = _brackets(list(spelled))
    if before:
        ends = re.escape(before[0] + after[:1])
        inside = rf"[^\n{ends}]{{0,80}}" if after else r"[\w<>=]{1,40}"
        pattern = rf"{_loosely(before)}\s{{0,9}}({inside}){_loosely(after)}"
    else:
        longest_first = sorted(spelled, key=len, reverse=True)
        pattern = rf"(?<!\w)({'|'.join(map(re.escape, longest_first))})(?!\w)"
    meanings = by_core((answer[len(before) : len(answer) - len(after)], p_first) for answer, p_first in spelled.items())
    return _Tags(re.compile(pattern, re.IGNORECASE), meanings, brackets=re.sub(r"\w", "", before + after))


def _brackets(answers: list[str]) -> tuple[str, str]:
    """What all answers begin and end with, short of any letter that belongs to the answer itself: "[[" and "]]"."""
    before = re.sub(r"\w+$", "", _common_start(answers))
    if len(answers) < 2 or not before.strip():
        return "", ""
    after = _common_start([answer[len(before) :][::-1] for answer in answers])[::-1]
    return before, re.sub(r"^\w+", "", after)


def _common_start(texts: list[str]) -> str:
    # The least and the greatest differ soonest.
    low, high = min(texts), max(texts)
    return low[: next((i for i, c in enumerate(low) if i >= len(high) or c != high[i]), len(low))]


def _loosely(bracket: str) -> str:
    """A pattern for `bracket` that lets a few spaces stand in it."""
    return r"\s{0,3}".join(re.escape(c) for c in bracket.strip())


def _meant(content: str) -> str:
    for entity, sign in _ENTITIES:
        content = content.replace(entity, sign)
    return core(content)
