"""Sentences that claim which response is better, told apart from those that only mention such a claim."""

from __future__ import annotations

import re

_ADVERB = (
    r"(?:(?:clear|definite|significant|considerable|slight|marginal|overall|obvious|certain|evident|noticeable|objective|"
    r"substantial|strong|ultimate|actual|simp|general|undoubted|undeniab|arguab|distinct|decided|vast|narrow|moderate)(?:ly)?"
    r"|much|far|by\s+far|somewhat|a\s+(?:bit|lot|little)|still|indeed|even|thus|therefore|hence|simply|also|only|just"
    r"|however|considered|deemed|judged|rated|in\s+my\s+(?:opinion|view)|on\s+balance)"
)
PREDICATE = (
    rf"(?:,[^,.;:\n]{{1,40}},)?\s+(?:(?:is|was),?\s+(?:{_ADVERB},?\s+){{0,3}}(?:to\s+be\s+)?(?:the\s+)?(?:{_ADVERB}\s+){{0,2}}"
    r"(?:better|best|superior|preferable|preferred|winner|winning)\b"
    r"(?!-\w|\s+(?:written|organi[sz]ed|structured|formatted|worded|phrased|presented|known|off)\b)"
    rf"|(?:{_ADVERB}\s+)?wins\b)"
)
_NOUN = r"(?:output|response|answer|choice|option|one|candidate|summary|completion|assistant|model|version|text|result)"
LEADING = (
    rf"\b(?:(?:better|best|superior|preferable|preferred|winning)(?:\s+{_NOUN})?(?:\s+(?:is|was)\b\s*:?|\s*:)"
    r"|winner(?:\s+is\b\s*:?|\s*:)"
    rf"|(?:i|we)(?:\s+would|\s+will|['’]d|['’]ll)?(?:\s+{_ADVERB})?\s+(?:choose|prefer|pick|select|favou?r))"
    r"\s*[\"“'‘]?(?:the\s+)?"
)

_SENTENCE_END = re.compile(r"[.!?;](?=[\s\"'”’)])|\n")
_CLAUSE_END = re.compile(r"[,:—–]|\b(?:so|but|and|thus|hence|therefore|consequently)\b", re.IGNORECASE)
_SAYING = (
    r"(?:think|believe|say|saying|clear|conclude|means?|agree|case|convinced|sure|evident|claim|claiming|argue|feel|find|"
    r"certain|obvious|true|because|evidence|reason|determine|decide|state|see|imply|suggest|judge|consider|accept|possible|"
    r"fair|correct|accurate|enough|know)"
)
_SUPPOSED = re.compile(r"\W*(?:if|unless|assuming|supposing|suppose|imagine)\b", re.IGNORECASE)
_CONCEDED = re.compile(r"\W*(?:even\s+though|though|although|while|whilst)\b[^,]*$", re.IGNORECASE)
_ASIDE = re.compile(
    r"(?:\b(?:if|whether|unless|which|how|either|neither|nor|or|although|though)"
    rf"|(?:\b(?:not|cannot|never|no|nobody|hardly|without)|n['’]t)\s+(?:[\w'’]+\s+){{0,3}}?{_SAYING}"
    r"(?:\s+to\s+\w+|\s+with\s+[^,.;]{1,30}?)?(?:\s+that)?"
    r"|\b(?:wrong|incorrect|incorrectly|false|falsely|untrue|unclear|(?<!no )(?<!without )(?<!little )doubt|doubtful|deny|disagree|mistaken|mistakenly|hard|"
    r"difficult|impossible|unlikely)\b[^,.;:]{0,50}?\b(?:that|say|think|conclude|claim|saying|see|whether)"
    r"|\b(?:argues|claims|contends|asserts|insists|alleges|maintains)(?:\s+that)?"
    r"|\b(?:some|others|one|people|critics|users?|they)\s+(?:(?:may|might|could|would|can)\s+)?"
    r"(?:argue|say|claim|think|believe|feel)(?:\s+that)?)\s*[\"“'‘(]*$",
    re.IGNORECASE,
)
_REPORTED = re.compile(
    r"\bassistant\s*\(?\w\)?[^.;:]{0,60}?\b(?:says|said|states|stated|believes|thinks|evaluates|suggests|concludes)"
    r"(?:\s+that)?\s*[\"“'‘(]*$",
    re.IGNORECASE,
)
_TAKEN_BACK = re.compile(
    r"[\s\"'”’)\]]*(?:,?\s*(?:only\s+)?(?:if(?!\s+(?:only|not|marginally|slightly))|unless|provided|assuming|in\s+case)\b"
    r"|[.,]?[\s\"'”’)\]]*(?:or\b|/)|\s+(?:is|would\s+be)\s+(?:wrong|false|incorrect|untrue|not\b))",
    re.IGNORECASE,
)
_ASKED = re.compile(r"[^.!?\n]{0,200}\?")
_WINDOW = 300


def is_claim(text: str, start: int, end: int) -> bool:
    """Whether what stands from `start` to `end` is claimed: not denied, conditional, asked, listed or another's words."""
    before = text[max(0, start - _WINDOW) : start]
    sentence = before[_last_end(_SENTENCE_END, before) :]
    if _SUPPOSED.match(sentence) or _CONCEDED.match(sentence):
        return False
    clause = sentence[_last_end(_CLAUSE_END, sentence) :]
    if _ASIDE.search(clause) or _REPORTED.search(sentence):
        return False
    return not (_TAKEN_BACK.match(text, end, end + 60) or _ASKED.match(text, end, end + 220))


def _last_end(boundary: re.Pattern[str], text: str) -> int:
    end = 0
    for found in boundary.finditer(text):
        end = found.end()
    return end
