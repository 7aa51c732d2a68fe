"""The figures of an evaluation as Markdown: what a CI job shows on its page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aifeedback.ending import Check
from aifeedback.markdown import bullets, code, table
from aifeedback.markdown import page as joined
from aifeedback.markdown_summary import gates_table, interval, missed, title

Report = Mapping[str, Any]

COLUMNS = {
    "accuracy": "accuracy",
    "accuracy_decided": "decided",
    "accuracy_both": "both right",
    "consistency": "orders agree",
    "first_shown_rate": "first shown",
    "longer_chosen_rate": "longer",
    "kappa": "kappa",
}


def page(report: Report, checked: Sequence[Check]) -> str:
    """One run of `evaluate`: `checked` is what it had to pass."""
    return joined(
        title("aifeedback evaluate", checked),
        missed(checked),
        table(("critic", "pairs", "95% interval", *COLUMNS.values()), _rows(report), numbers=len(COLUMNS) + 2),
        _people(report["humans"]),
        gates_table([{**gate, "name": f"{code(gate['critic'])} {gate['name']}"} for gate in report["gates"]]),
        bullets(code(text, 1000) for text in report["findings"]),
    )


def _rows(report: Report) -> Iterator[Sequence[str]]:
    for kind in ("critics", "baselines"):
        for entry in report[kind]:
            name = code(entry["critic"]) if kind == "critics" else f"baseline {entry['critic']}"
            yield (
                name,
                str(entry["n"]),
                interval(entry["accuracy_ci"]),
                *(figure(entry[column], column) for column in COLUMNS),
            )


def figure(value: float | None, column: str) -> str:
    """A figure as people read it: a share as a percentage, kappa as it is."""
    if value is None:
        return "–"
    return f"{value:.3f}" if column == "kappa" else f"{100 * value:.1f}%"


def _people(humans: Report | None) -> str:
    if humans is None:
        return ""
    return f"People among themselves: pairwise agreement {100 * humans['pairwise_agreement']:.1f}% over {humans['n']} pairs, Fleiss' kappa {figure(humans['fleiss_kappa'], 'kappa')}."
