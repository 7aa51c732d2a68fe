"""What stands out in a report, in plain English, the worst first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from aifeedback.records import Status
from aifeedback.report.facts import Facts
from aifeedback.report.wording import between, count, percent
from aifeedback.summary import Share

_MANY_FAILURES = 0.01
_COIN = 0.5
_ENOUGH = 30
_BROKEN = (Status.FAILED, Status.UNPARSED, Status.TOO_LONG, Status.REFUSED, Status.INVALID, Status.UNASKED)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found, and what it means. `tone`: `warning`, `note` or `good`."""

    tone: Literal["warning", "note", "good"]
    title: str
    text: str


def findings(facts: Facts) -> list[Finding]:
    """All of them: biases, failures, how far people agree, and what is not known."""
    found = [*_agreement(facts), *_biases(facts), *_failures(facts), *_mixed(facts)]
    tones = ("warning", "note", "good")
    return sorted(found, key=lambda finding: tones.index(finding.tone))


def _biases(facts: Facts) -> Iterator[Finding]:
    for bias in facts.biases:
        name, _, told = bias.text.partition(": ")
        yield Finding("warning", name.capitalize(), told[:1].upper() + told[1:])
    if facts.biases or not facts.account.tally.labeled:
        return
    looked = _looked_at(facts)
    seen = [name for name, why in looked.items() if not why]
    untold = " ".join(f"{name.capitalize()} can't be told: {why}." for name, why in looked.items() if why)
    if seen:
        shown = f"Looked at: {', '.join(seen)}; none shows a bias that is more than chance."
        yield Finding("good", "No bias that is more than chance", f"{shown} {untold}".rstrip())
    else:
        yield Finding("note", "Whether there is a bias can't be told", untold)


def _looked_at(facts: Facts) -> dict[str, str]:
    """Each bias and why this file can't tell it; `""` where it can."""
    tally = facts.account.tally
    both = tally.first_shown.without(tally.first_shown_alone).clusters
    few = f"fewer than {_ENOUGH} pairs to judge by"
    return {
        # Labels alone have both orders on one side: without the conflicts, every critic looks fair.
        "the place": "the rest file is not here" if not facts.rest else few if both < _ENOUGH else "",
        "the length": few if tally.longer.n < _ENOUGH else "",
        "the model's family": f"{few} with just one response of the critic's own"
        if tally.same_family.n < _ENOUGH
        else "",
    }


def _agreement(facts: Facts) -> Iterator[Finding]:
    tally = facts.account.tally
    if not tally.right.n:
        yield Finding(
            "note",
            "Nobody has checked these labels",
            "No pair says what people chose. Whether the critic is right can't be seen from its labels alone.",
        )
        return
    decided = Share(tally.confusion[0] + tally.confusion[3], sum(tally.confusion))
    if decided.interval is None:
        yield Finding("note", "No labelled pair says what people chose", "All pairs with gold are without a label.")
        return
    low, high = decided.interval
    said = (
        f"{percent(decided.rate)} of {count(decided.n, 'labelled pair')} with gold are as people chose (95% interval "
        f"{between(decided.interval)}), where a coin would get half."
    )
    if tally.right.n > decided.n:
        said += f" With the pairs that have gold but no label counted as wrong, it is {percent(tally.right.rate)} of {tally.right.n:,}."
    if low > _COIN:
        yield Finding("good", "People mostly choose the same", said)
    else:
        title = "People mostly choose otherwise" if high < _COIN else "Agreement with people can't be told from a coin"
        yield Finding("warning", title, said)


def _failures(facts: Facts) -> Iterator[Finding]:
    counts = facts.counts
    broken = Share(sum(counts[status.value] for status in _BROKEN), counts["read"])
    if broken.hits and (broken.rate or 0) > _MANY_FAILURES:
        yield Finding(
            "warning" if (broken.rate or 0) > 5 * _MANY_FAILURES else "note",
            f"{count(broken.hits, 'pair')} got no answer that can be read",
            f"That is {percent(broken.rate)}. They are in no label and in no tie; where they differ from the others, the labels speak for these others alone.",
        )
    if not facts.rest:
        yield Finding(
            "note",
            "There is no rest file",
            "Ties, conflicts and failures are not in the figures below, so the critic looks more consistent than it is.",
        )


def _mixed(facts: Facts) -> Iterator[Finding]:
    found = facts.account.sources
    if facts.summary is not None and facts.summary.get("labeled") != facts.account.tally.labeled:
        yield Finding(
            "note",
            "The summary may be of another run",
            f"It counts {facts.summary.get('labeled')} labelled pairs, this file {facts.account.tally.labeled}. Cost and setup are the summary's.",
        )
    for name, counts in (("templates", found.templates), ("criteria", found.criteria)):
        if len(counts) > 1:
            yield Finding(
                "note",
                f"Labelled by {len(counts)} {name}",
                "The figures are over all of them. Look at each by itself too.",
            )
