"""Reasoning whose last sentence names another winner than the verdict does."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from aifeedback.records import PFirst
from aifeedback.verdicts.claims import PREDICATE, is_claim
from aifeedback.verdicts.offered import NOUN, core
from aifeedback.verdicts.plain_text import plain_text

_TAIL = 600
_LONGEST_LEAD = 50
_CLAIMING = ("better", "best", "superior", "prefer", "winner", "winning", "wins")
_LEAD_TO_VERDICT = re.compile(
    r"(?:^|(?<=[\s.]))[\"'(*#]*(?:(?:therefore|so|thus|hence),?\s+)?(?:(?:my|the|final)\s+){0,2}(?:verdict|answer|decision|choice|judge?ment)"
    r"(?:\s+is)?\s*:?[\s\"'(*]*$",
    re.IGNORECASE,
)
_SENTENCE_START = re.compile(r"[.!?][\"'”’)]*\s+|\n")
_CONCLUDING = r"(?:therefore|thus|hence|so|overall|ultimately|consequently|accordingly|conclude\s+that|means\s+that|clear\s+that|and|but)"
_INTRODUCTION = re.compile(
    rf"(?:.*\b{_CONCLUDING},?\s+)?(?:[\s\"'“(-]|\b(?:{_CONCLUDING}|finally|verdict|conclusion|in\s+(?:conclusion|summary|short)|"
    r"to\s+(?:conclude|summari[sz]e|sum\s+up)|on\s+balance|all\s+in\s+all|all\s+things\s+considered|as\s+a\s+result|"
    r"for\s+(?:this|these|that|those)\s+reasons?|i\s+(?:think|believe|conclude|find|judge|feel|would\s+say)|"
    r"it\s+is\s+(?:clear|evident|obvious)|that)\b[,:]?)*",
    re.IGNORECASE | re.DOTALL,
)
_LIMITED = re.compile(
    r"\b(?:if|unless|whether|would|could|might|may|in\s+terms\s+of|regarding|respect\s+to|comes\s+to|aspects?|some|argue|"
    r"only|one|from\s+an?|in\s+style|stylistically|on\s+style)\b",
    re.IGNORECASE,
)
_UNLIMITED_END = re.compile(
    rf"(?:\s*,?\s*(?:overall|here|{NOUN}|one|of\s+the\s+two|in\s+this\s+case|by\s+a\s+\w+\s+margin|"
    rf"than\s+(?:the\s+other\b|(?:{NOUN}\s+)?\(?\w+\)?))){{0,3}}"
    r"(?:\s*,?\s*\b(?:because|as|since|due\s+to|given)\b(?:(?!\b(?:but|although|though|however|while|yet|except|if|unless)\b).)*)?"
    r"[\s.!\"'”’)]*",
    re.IGNORECASE | re.DOTALL,
)


def contradicts(reasoning: str, p_first: PFirst, answers: Mapping[str, PFirst]) -> bool:
    """Whether the last sentence of `reasoning` plainly claims another winner than `p_first` says.

    Only a claim about the whole counts: none that is denied, conditional or about one aspect.
    """
    tail = reasoning[-_TAIL:]
    lower = tail.lower()
    if not any(word in lower for word in _CLAIMING):
        return False
    sides = _sides(tuple(answers.items()))
    return sides is not None and _claimed(plain_text(_last_sentence(tail)), sides) not in {None, _side(p_first)}


def _claimed(sentence: str, sides: re.Pattern[str]) -> str | None:
    """The side that the sentence claims to be better, `first` or `second`; None where that is not quite plain."""
    claims = [found for found in sides.finditer(sentence) if is_claim(sentence, found.start(), found.end())]
    if len(claims) != 1:
        return None
    before, after = sentence[: claims[0].start()], sentence[claims[0].end() :]
    if _LIMITED.search(before) or not _INTRODUCTION.fullmatch(before) or not _UNLIMITED_END.fullmatch(after):
        return None
    return claims[0].lastgroup


def _last_sentence(text: str) -> str:
    text = text.rstrip()
    lead = _LEAD_TO_VERDICT.search(text, max(0, len(text) - _LONGEST_LEAD))
    text = text[: lead.start()].rstrip() if lead else text
    start = 0
    for boundary in _SENTENCE_START.finditer(text):
        start = boundary.end()
    return text[start:]


def _side(p_first: float) -> str:
    return "first" if p_first > 0.5 else "second" if p_first < 0.5 else "tie"


@lru_cache(maxsize=256)
def _sides(answers: tuple[tuple[str, PFirst], ...]) -> re.Pattern[str] | None:
    """A pattern for "Response A is better", in a group named after A's side; None where answers are not plain words."""
    named = {
        side: [core(answer) for answer, p_first in answers if _side(p_first) == side] for side in ("first", "second")
    }
    if not all(len(names) == 1 and re.fullmatch(r"\w+", names[0]) for names in named.values()):
        return None
    groups = "|".join(rf"(?P<{side}>{_name(names[0])})" for side, names in named.items())
    return re.compile(rf"(?:{groups})(?:{PREDICATE})", re.IGNORECASE)


def _name(word: str) -> str:
    """A pattern for "Response A", "the first response" or a word alone; one letter alone only as a capital."""
    alone = rf"(?-i:{word.upper()})" if len(word) == 1 else word
    return rf"\b(?:the\s+)?(?:{NOUN}\s+[\"'(\[]?{word}\b[\"')\]]?|{word}\s+{NOUN}\b|{alone}\b)"
