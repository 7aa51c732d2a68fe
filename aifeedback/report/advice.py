"""What to do next, by what a report shows."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from aifeedback.records import Status
from aifeedback.report.facts import Facts
from aifeedback.report.wording import count

_ENOUGH, _CONSISTENT = 20, 0.9
_AGAIN = (Status.FAILED, Status.UNASKED)


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do, and the command for it where there is one."""

    text: str
    command: str = ""


def steps(facts: Facts) -> list[Step]:
    """The most useful first."""
    return list(_steps(facts))


def _steps(facts: Facts) -> Iterator[Step]:
    tally, name = facts.account.tally, shlex.quote(facts.name)
    statuses = tally.statuses
    again = sum(statuses[status] for status in _AGAIN)
    if again:
        yield Step(
            f"{count(again, 'pair')} got no answer. Run the same label command again: what is stored is not asked twice."
        )
    if statuses[Status.UNPARSED]:
        yield Step(
            f"{count(statuses[Status.UNPARSED], 'pair')} got a reply that can't be read. Look at some below, then ask them anew with --reask unparsed."
        )
    if tally.consistent.n >= _ENOUGH and tally.consistent.hits < _CONSISTENT * tally.consistent.n:
        yield Step(
            "The critic contradicts itself when the places are exchanged. Ask a stronger one about these pairs alone.",
            "aifeedback label … --on-conflict escalate --escalate-to PROVIDER/MODEL",
        )
    if facts.is_biased("length") and not facts.length_controlled:
        yield Step(
            "The critic goes by length. Have the labels marked that length alone decided, look at them below, then drop them.",
            "aifeedback label … --length-control flag",
        )
    if not tally.right.n:
        yield Step(
            "Nobody has checked these labels. Choose for 50 to 100 pairs yourself (gold: a, b or tie), and label them: this page then says how often the critic agrees with you."
        )
    elif facts.is_biased("own_family"):
        yield Step("Have the pairs judged by a critic of another family too: --critic can be given twice.")
    if facts.counts["labeled"]:
        yield Step("Read the most contested pairs below; they show what the criteria leave open.")
        yield Step("Train on what is labelled.", f"aifeedback train dpo {name} --model MODEL -o trained")
