"""The parts of a report, in their order, and its head."""

from __future__ import annotations

from collections.abc import Mapping

from aifeedback.report.bias_parts import NO_REST, first_shown, kinship, lengths, longer, own_family, position
from aifeedback.report.facts import Facts
from aifeedback.report.setup_parts import cost, sources
from aifeedback.report.view import Part, Rate, Table, counted, rate_of
from aifeedback.report.wording import STATUSES, count, listed, percent
from aifeedback.summary import Share

_PEOPLE = "How often the critic's label is what people chose, over all pairs with a gold of a or b."


def parts(facts: Facts) -> list[Part]:
    """All sections but the pairs themselves."""
    return [
        position(facts),
        lengths(facts),
        kinship(facts),
        sureness(facts),
        agreement(facts),
        cost(facts),
        sources(facts),
    ]


def funnel(facts: Facts) -> list[tuple[str, str, int, float, str]]:
    """Code, name, count, share of all that was read, and meaning, of each status that occurs, and of the labelled."""
    counts = facts.counts
    read = counts["read"] or 1
    return [
        (status, name, counts[status], counts[status] / read, meaning)
        for status, (name, meaning) in STATUSES.items()
        if counts[status] or status == "labeled"
    ]


def funnel_note(facts: Facts) -> str:
    """Whether the counts are all there is."""
    read = facts.counts["read"]
    if facts.rest:
        return f"The counts add up to {count(read, 'pair')} read."
    if facts.summary is not None:
        return f"There is no rest file: what became of the {count(read, 'pair')} is taken from the run's summary, and only the labelled pairs can be shown."
    return "There is no rest file, so pairs without a label are not known: ties, conflicts and failures are missing from every figure here. Name it with --rest FILE."


def headline(facts: Facts) -> str:
    """One line: how many of how many, by whom."""
    counts, critics = facts.counts, facts.critics
    what = f"{counts['labeled']:,} of {count(counts['read'], 'pair')} labelled"
    if not facts.complete:
        what = f"{count(counts['labeled'], 'labelled pair')}"
    return f"{what} by {listed(critics, most=2)}" if critics else what


def lead(facts: Facts) -> str:
    """A few sentences on how it was done."""
    found = facts.account.sources
    template, criteria = ([name for name, _ in counts.most_common()] for counts in (found.templates, found.criteria))
    said = []
    if template:
        said.append(
            f"Asked with the template {listed(template)}"
            + (f", by the criteria {listed(criteria)}" * bool(criteria))
            + "."
        )
    tally = facts.account.tally
    if tally.consistent.n and facts.rest:
        said.append(
            f"Both orders come to the same decision in {percent(tally.consistent.rate)} of {count(tally.consistent.n, 'pair')}."
        )
    if tally.right.n:
        said.append(
            f"The label is what people chose in {percent(tally.right.rate)} of {count(tally.right.n, 'pair')} with gold."
        )
    else:
        said.append("No pair says what people chose, so how far the labels agree with people is not known.")
    return " ".join(said)


def figures(facts: Facts) -> list[Rate]:
    """The few that matter most, for the head of the page."""
    tally = facts.account.tally
    labelled = Share(facts.counts["labeled"], facts.counts["read"])
    found = [
        Rate("Labelled", labelled.rate if facts.complete else None, None, counted(labelled.n, "pairs read")),
        rate_of("Same decision in both orders", tally.consistent if facts.rest else Share(), "pairs"),
        first_shown(facts, "First shown wins"),
        longer(facts, "Longer wins", "labelled pairs"),
        own_family(facts, "Own family wins", "labelled pairs"),
        rate_of("Agrees with people", tally.right, "pairs with gold", chance=0.5),
    ]
    return [rate for rate in found if rate.rate is not None]


def sureness(facts: Facts) -> Part:
    """How sure the labels are."""
    found = facts.account.sureness
    soft, hard = sum(found.soft), sum(found.hard)
    remarks = []
    if found.n:
        remarks.append(f"The mean preference is {found.mean or 0:.3f} over {count(found.n, 'labelled pair')}.")
        remarks.append(
            f"{count(soft, 'label')} from the critic's probabilities (soft), {count(hard, 'label')} from votes alone (hard)."
        )
    return Part(
        "sureness",
        "Sureness",
        "How sure the labels are",
        "The preference is P(chosen is better): a probability where it comes from the critic's token probabilities, else a share of votes.",
        remarks=remarks,
        charts=("sureness",) if found.n else (),
        empty="" if found.n else "There is no labelled pair.",
    )


def agreement(facts: Facts) -> Part:
    """Whether people say the same."""
    tally, calibration = facts.account.tally, facts.account.calibration
    if not tally.right.n:
        empty = "No pair says what people chose. Give some of them gold (a, b or tie) or votes: 100 pairs already tell a good critic from a coin."
        return Part("people", "People", "Agreement with people", _PEOPLE, empty=empty)
    told = tally.rates()["agreement"]
    assert isinstance(told, Mapping), "there is gold"
    aa, ab, ba, bb = tally.confusion
    decided = Share(aa + bb, aa + ab + ba + bb)
    rates = [
        rate_of("Right", tally.right, "pairs with gold", chance=0.5, note="A pair without a label counts as wrong."),
        *(
            [rate_of("Right where it gave a label", decided, "labelled pairs with gold", chance=0.5)]
            if decided.n
            else []
        ),
        *(
            rate_of(f"Right with {order.value[0].upper()} shown first", share, "pairs asked so", chance=0.5)
            for order, share in tally.right_by_order.items()
            if share.n
        ),
    ]
    remarks = [] if facts.rest else [NO_REST]
    if told["kappa"] is not None:
        interval = told["kappa_ci"]
        spread = f" (95% interval {interval[0]:.2f} to {interval[1]:.2f})" if interval else ""
        remarks.append(
            f"Cohen's kappa is {told['kappa']:.3f}{spread}: agreement beyond chance, where 0 is none and 1 complete."
        )
    if calibration is not None:
        remarks.append(
            f"Calibration over {count(calibration.n, 'pair')} with gold: Brier score {calibration.brier:.3f} (0.25 is a critic that always says 0.5), expected calibration error {calibration.ece:.3f}."
        )
    table = Table(
        "Label against people",
        ("", "People say A", "People say B"),
        [("Critic says A", count(aa), count(ab)), ("Critic says B", count(ba), count(bb))],
    )
    return Part(
        "people",
        "People",
        "Agreement with people",
        _PEOPLE,
        rates,
        [table],
        remarks,
        ("calibration",) if calibration is not None else (),
    )
