"""The summary of a run as Markdown: what a CI job shows on its page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aifeedback.ending import Check
from aifeedback.markdown import bullets, code, page, percent, table
from aifeedback.prices import in_dollars
from aifeedback.records import Status

Summary = Mapping[str, Any]

_RATES = {
    "consistency": "both orders agree",
    "first_shown_rate": "first shown wins (50% is fair)",
    "longer_chosen_rate": "longer one chosen",
    "same_family_rate": "own family chosen",
}


def markdown_summary(summary: Summary, checked: Sequence[Check]) -> str:
    """One run of `label`: `summary` is contract section 3's, `checked` what it had to pass."""
    manifest = summary["manifest"]
    asked = f"{code(manifest['critic'])}, asked by {code(manifest['template'])} for {code(manifest['criteria'])}"
    return page(
        title("aifeedback label", checked),
        asked + (f", in doubt {code(manifest['escalate_to'])}" if manifest["escalate_to"] else ""),
        missed(checked),
        table(("pairs", "count"), _funnel(summary), numbers=1),
        rates_table(_rates(summary)),
        gates_table(summary["gates"]),
        biases(summary["biases"]),
        _spent(summary),
    )


def title(name: str, checked: Sequence[Check]) -> str:
    """The heading of a run, which says whether it is as it should be."""
    bad = [check.name for check in checked if not check.passed]
    return f"### {'❌' if bad else '✅'} {name}: " + (
        f"{len(bad)} of {len(checked)} checks missed" if bad else "passed"
    )


def missed(checked: Sequence[Check]) -> str:
    """A line for each check that was missed."""
    return bullets(f"❌ {code(check.missed)}" for check in checked if not check.passed)


def rates_table(rates: Iterator[tuple[str, float | None, Sequence[float] | None]]) -> str:
    """Rates by their names, each with its 95% interval; those that don't exist are left out."""
    rows = ((name, percent(rate), interval(between)) for name, rate, between in rates if rate is not None)
    return table(("rate", "", "95% interval"), rows, numbers=2)


def interval(between: Sequence[float] | None) -> str:
    """An interval of a share, as people read it; `""` for none."""
    return "" if between is None else f"{percent(between[0])} to {percent(between[1])}"


def gates_table(gates: Sequence[Summary]) -> str:
    """What came to each gate, as the summary holds it."""
    rows = (
        (
            f"{'✅' if gate['passed'] else '❌'} {gate['name']}",
            "none" if gate["figure"] is None else f"{gate['figure']:g}",
            f"{gate['limit']:g}",
            "the estimate" if gate["on"] == "estimate" else "the bad end of the 95% interval",
        )
        for gate in gates
    )
    return table(("gate", "figure", "limit", "figure is"), rows)


def biases(found: Sequence[Summary]) -> str:
    """The biases that were found, as the summary holds them."""
    return bullets(f"⚠️ {bias['text']}" for bias in found)


def _funnel(summary: Summary) -> Iterator[tuple[str, str]]:
    yield "read", str(summary["read"])
    yield "labelled", str(summary["labeled"])
    for status in Status:
        if summary[status.value]:
            yield status.value, str(summary[status.value])


def _rates(summary: Summary) -> Iterator[tuple[str, float | None, Sequence[float] | None]]:
    for name, words in _RATES.items():
        yield words, summary[name], summary[f"{name}_ci"]
    agreement = summary["agreement"]
    if agreement is not None:
        yield f"agrees with gold ({agreement['n']} pairs)", agreement["accuracy"], agreement["accuracy_ci"]
        yield "agrees with gold, where labelled", agreement["accuracy_decided"], None


def _spent(summary: Summary) -> str:
    requests, agreement = summary["requests"], summary["agreement"]
    said = [f"{requests['sent']} requests sent, {requests['from_store']} from the store"]
    if summary["cost_usd"] is not None:
        said.append(f"cost {in_dollars(summary['cost_usd'])}")
    if agreement is not None and agreement["kappa"] is not None:
        said.insert(0, f"kappa {agreement['kappa']:.2f}")
    return "; ".join(said) + "."
