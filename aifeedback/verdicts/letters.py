"""A verdict from a reply that is one answer and nothing else."""

from __future__ import annotations

from aifeedback.records import Reading, VerdictFormat
from aifeedback.verdicts.offered import offered
from aifeedback.verdicts.reasons import NOT_BARE, unparsed


def read_letter(text: str, asked: VerdictFormat) -> Reading:
    """The verdict of a text that is one answer, dressed or with a prefix such as "Answer:"; never one in prose."""
    p_first = offered(asked.answers).find(text.strip())
    return Reading(p_first, method="letter") if p_first is not None else unparsed(NOT_BARE, text.strip())
