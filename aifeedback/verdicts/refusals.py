"""Replies in which the critic declines to judge."""

from __future__ import annotations

import re

_LONGEST = 1000
_DOES = (
    r"(?:assist|help|comply|provide|fulfil|fulfill|continue|engage|evaluate|compare|judge|assess|rate|rank|review|"
    r"discuss|support|participate|answer|respond|complete|process|generate|create|offer|make|give|do|proceed|"
    r"analy[sz]e|accommodate|share|produce|take part|be of)\b"
)
_WILL_NOT = (
    rf"(?:i|we)(?:['’]m|\s+am)?(?:\s+(?:really|simply|just|also))?\s+(?:"
    rf"(?:can(?:no|['’]|\s+no)t|won['’]t|will\s+not|(?:am\s+)?unable\s+to|(?:am\s+)?not\s+able\s+to|(?:am\s+)?not\s+going\s+to)"
    rf"\s+(?:\w+ly\s+|in\s+good\s+conscience\s+)?{_DOES}"
    r"|(?:must|have\s+to|need\s+to|respectfully|politely)?\s*(?:decline|refuse)\b"
    r"|(?:do\s+not|don['’]t)\s+(?:feel\s+comfortable|have\s+(?:personal|opinions|the\s+ability|preferences))"
    r"|(?:am\s+)?not\s+comfortable)"
)
_REFUSAL = re.compile(
    r"\W{0,9}(?:(?:(?:i['’]m|i\s+am)(?:\s+(?:really|very|so|truly))?\s+sorry\b|sorry\b|i\s+apologi[sz]e\b|my\s+apologies\b|"
    r"unfortunately\b|i\s+regret\b|as\s+an?\s+(?:ai|artificial|large|responsible|assistant)\b)"
    rf"[^.!?\n]{{0,100}}?(?<!\w))?{_WILL_NOT}",
    re.IGNORECASE,
)
_FIRST_SENTENCE = re.compile(r"[^.!?\n]*[.!?]?")


def refusal_in(text: str) -> str:
    """The first sentence of a short text that begins like a refusal; else an empty text."""
    text = text.strip()
    if len(text) > _LONGEST or not _REFUSAL.match(text):
        return ""
    sentence = _FIRST_SENTENCE.match(text)
    return sentence[0].strip() if sentence and sentence[0].strip() else text
