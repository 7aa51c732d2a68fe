"""Why a reply gives no verdict: fixed phrases to group by; details, if any, follow after a colon."""

from __future__ import annotations

from aifeedback.records import Reading, Status

CUT_OFF = "the reply was cut off"
FAILED = "the critic did not finish"
FILTERED = "the content filter stopped the critic"
REFUSED = "the critic refused"
EMPTY = "empty reply"
INSIDE_THINKING = "the reply ends inside its thinking"
ONLY_THINKING = "the reply is nothing but thinking"
NOT_OFFERED = "the verdict is outside what was offered"
SEVERAL = "the verdict names several answers"
WRONG_TYPE = "the verdict is not text"
REPEATED_FIELD = "the verdict field stands twice and says different things"
DISAGREEING = "the verdicts contradict each other"
CONTRADICTS_REASONING = "the verdict contradicts its own reasoning"
NO_OBJECT = "no JSON object with"
BROKEN_OBJECT = "the JSON object is broken"
NOT_BARE = "the reply is not one of the answers alone"
NO_TAG = "no verdict tag"
ONLY_LISTED = "the reply only lists the options"
ONLY_MENTIONED = "a verdict tag is only mentioned"
NO_CLAIM = "no claim which is better"
DRAW = "the reply ends in a draw, which was not offered"
NO_MATCH = "the pattern matches nothing"
BAD_PATTERN = "the pattern is no regular expression"

_SHOWN = 80


def shown(text: str) -> str:
    """`text` on one line, at most 80 characters of it, with control characters made visible."""
    short = text[:_SHOWN] + ("…" if len(text) > _SHOWN else "")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in short)


def unparsed(phrase: str, detail: str = "", *, reason: str = "") -> Reading:
    """No verdict could be read. `reason` is what the critic said for it, as far as that is known."""
    return without_verdict(Status.UNPARSED, phrase, detail, reason=reason)


def without_verdict(status: Status, phrase: str, detail: str = "", *, reason: str = "") -> Reading:
    """A reading with no verdict, `detail` shortened and put behind the phrase."""
    return Reading(None, reason=reason, status=status, why=f"{phrase}: {shown(detail)}" if detail else phrase)
