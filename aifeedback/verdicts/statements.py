"""A verdict from prose that claims "Output (a) is better", or from a line that is one answer alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from aifeedback.records import Reading, VerdictFormat
from aifeedback.verdicts.choosing import choose
from aifeedback.verdicts.claims import LEADING, PREDICATE, is_claim
from aifeedback.verdicts.offered import core, offered
from aifeedback.verdicts.plain_text import plain_text
from aifeedback.verdicts.reasons import DISAGREEING, DRAW, NO_CLAIM, unparsed

_LEAD_IN = (
    r"(?:(?:so|therefore|thus|hence|overall|in\s+conclusion),?\s+)?"
    r"(?:(?:the\s+|my\s+)?(?:final\s+)?(?:answer|verdict|decision|choice|judge?ment|preference|conclusion)"
    r"(?:\s+is\b)?\s*[:=–—-]?\s*)?"
)
_DRAW = re.compile(
    r"(?:^|[.!?\n])[^.!?\n]{0,60}\b(?:both|neither|the\s+two)\b[^.!?\n]{0,80}?"
    r"\b(?:equally\s+good|are\s+equal|better\s+than\s+the\s+other|is\s+better|a\s+tie)\b[^.!?\n]*[.!?\s]*$",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"\b(?:is|are|wins|tie)\b", re.IGNORECASE)
_NEXT_ITEM = re.compile(r"[^\w\n]{0,20}\n\W{0,20}")
_LONGEST_LINE = 200
_RUNS_ON = re.compile(
    r"(?:,|\b(?:and|or|nor|than|with|to|of|in|by|as|for|like|from|not|between))[ \t]*$", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class _Patterns:
    """How an answer is claimed.

    `claim`: where it may be said to be better; `line`: a line that is one answer alone; `head`: one that begins with
    an answer as a heading does.
    """

    claim: re.Pattern[str]
    line: re.Pattern[str]
    head: re.Pattern[str]


@dataclass(frozen=True, slots=True)
class _Claim:
    """An answer, how it was given, and where."""

    answer: str
    method: str
    start: int
    end: int


def read_claim(text: str, asked: VerdictFormat) -> Reading:
    """The verdict of the claim that counts; a bare answer counts where it is the first or the last line."""
    plain = plain_text(text).strip()
    found = _claims_in(plain, _patterns(tuple(asked.answers)))
    if not found:
        return unparsed(NO_CLAIM)
    if _DRAW.search(plain, max(found[-1].end, len(plain) - 400)):
        return unparsed(DRAW)
    choices = offered(asked.answers)
    chosen = choose(found, asked.which, lambda claim: choices.find(claim.answer))
    p_first = choices.find(chosen.answer) if chosen else None
    if chosen is None or p_first is None:
        return unparsed(DISAGREEING)
    return Reading(p_first, method=chosen.method, reason=text.strip())


def _claims_in(text: str, patterns: _Patterns) -> list[_Claim]:
    """All that `text` claims, in order, with a bare first or last line as the first or last claim."""
    claims = _unlisted(
        [
            _Claim(found[found.lastgroup or 0], "claim", found.start(), found.end())
            for found in patterns.claim.finditer(text)
            if is_claim(text, found.start(), found.end())
        ],
        text,
    )
    first, _, rest = text.partition("\n")
    opening = _bare(first, patterns) if rest else ""
    if opening and all(core(head[1]) == core(opening) for head in patterns.head.finditer(text)):
        claims.insert(0, _Claim(opening, "bare", 0, len(first)))
    before, _, last = text.rpartition("\n")
    closing = "" if _RUNS_ON.search(before, max(0, len(before) - 40)) else _bare(last, patterns)
    return [*claims, _Claim(closing, "bare", len(text), len(text))] if closing else claims


def _unlisted(claims: list[_Claim], text: str) -> list[_Claim]:
    """The claims without those that follow each other as items of a list do: such are the options, not a choice."""
    listed = {
        claim.start
        for pair in pairwise(claims)
        if core(pair[0].answer) != core(pair[1].answer) and _NEXT_ITEM.fullmatch(text, pair[0].end, pair[1].start)
        for claim in pair
    }
    return [claim for claim in claims if claim.start not in listed]


def _bare(line: str, patterns: _Patterns) -> str:
    """The answer that the line is, else an empty text."""
    found = patterns.line.fullmatch(line) if len(line) <= _LONGEST_LINE else None
    return found[1] if found else ""


@lru_cache(maxsize=256)
def _patterns(answers: tuple[str, ...]) -> _Patterns:
    names = _any_of(answers)
    claim = rf"{LEADING}(?P<named>{names})(?!['’]s)|(?P<subject>{names})(?:{PREDICATE})"
    if sentences := [answer for answer in answers if _SENTENCE.search(answer)]:
        claim += rf"|(?P<sentence>{_any_of(sentences)})"
    return _Patterns(
        re.compile(claim, re.IGNORECASE),
        re.compile(rf"[\s#>•\"“'‘(\[_–—-]*{_LEAD_IN}[\s\"“'‘(\[_]*({names})[\s\"”'’)\].!_]*", re.IGNORECASE),
        re.compile(rf"^[ \t#>•–—\d.-]{{0,20}}({names})[ \t]{{0,9}}(?::|$)", re.IGNORECASE | re.MULTILINE),
    )


def _any_of(answers: Sequence[str]) -> str:
    """A pattern for any of the answers as whole words, however they are spaced."""
    longest_first = sorted(map(plain_text, answers), key=len, reverse=True)
    return "|".join(
        rf"(?<!\w){_spaced(answer)}(?!\w)" if answer[-1:].isalnum() else rf"(?<!\w){_spaced(answer)}"
        for answer in longest_first
    )


def _spaced(answer: str) -> str:
    return r"\s*".join(re.escape(part) for part in re.findall(r"\w+|[^\w\s]", answer))
