"""A verdict found by a user's own regular expression."""

from __future__ import annotations

import re

from aifeedback.records import Reading, VerdictFormat
from aifeedback.verdicts.choosing import choose
from aifeedback.verdicts.offered import offered
from aifeedback.verdicts.reasons import BAD_PATTERN, DISAGREEING, NO_MATCH, NOT_OFFERED, SEVERAL, unparsed

# A pattern may take quadratic time; the end of a reply is where its verdict stands.
_LONGEST = 100_000


def read_pattern(text: str, asked: VerdictFormat) -> Reading:
    """The verdict that group 1 of the pattern, or its whole match, names in the last 100,000 characters of `text`."""
    try:
        pattern = re.compile(asked.pattern)
    except (re.error, RecursionError, OverflowError) as error:
        return unparsed(BAD_PATTERN, str(error))
    group = 1 if pattern.groups else 0
    found = [str(match[group]) for match in pattern.finditer(text[-_LONGEST:]) if match[group]]
    if not found:
        return unparsed(NO_MATCH, asked.pattern)
    choices = offered(asked.answers)
    chosen = choose(found, asked.which, lambda one: choices.find(one))
    if chosen is None:
        return unparsed(DISAGREEING)
    p_first = choices.find(chosen)
    if p_first is None:
        return unparsed(SEVERAL if choices.several(chosen) else NOT_OFFERED, chosen.strip() or "nothing")
    return Reading(p_first, method="pattern", reason=text.strip())
