"""The table that `evaluate` shows: critics above, baselines below, people at the foot, and what it means."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from aifeedback.evaluation.page import COLUMNS, figure

Report = Mapping[str, Any]
_WIDTH = 140
_WIDE = 126
"""Columns from which on both intervals fit; below, accuracy has half of its interval's width and kappa none."""


def show(report: Report, places: Mapping[str, str], say: Callable[[str], None]) -> None:
    """Print it on stderr; `say` prints a line there."""
    # Where nobody can widen a window, a table is not squeezed.
    console = Console(stderr=True, highlight=False, width=None if sys.stderr.isatty() else _WIDTH)
    console.print(_table(report, narrow=console.width < _WIDE))
    lines = [*_people(report["humans"]), *_groups(report), *_findings(report), *_spent(report)]
    lines += [f"{name}: {path}" for name, path in places.items()]
    for line in lines:
        say(line)


def _table(report: Report, *, narrow: bool) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0) if narrow else (0, 1))
    table.add_column("critic", overflow="fold")
    for name in ("pairs", *COLUMNS.values()):
        table.add_column(name.replace(" ", "\n") if narrow else name, justify="right", no_wrap=True)
    for entry in report["critics"]:
        table.add_row(Text(_plain(entry["critic"]), style="bold"), *_cells(entry, narrow=narrow))
    table.add_row("baselines", style="dim")
    for entry in report["baselines"]:
        table.add_row(Text(f"  {entry['critic']}"), *_cells(entry, narrow=narrow), style="dim")
    gold = next((entry["gold_longer_rate"] for entry in report["critics"]), None)
    if gold is not None:
        cells = ["" if column != "longer_chosen_rate" else figure(gold, column) for column in COLUMNS]
        table.add_row("people", "", *cells)
    return table


def _cells(entry: Report, *, narrow: bool) -> Iterator[str]:
    yield str(entry["n"])
    for column in COLUMNS:
        text = figure(entry[column], column)
        between: Sequence[float] | None = entry[f"{column}_ci"]
        if between is not None and column == "accuracy" and narrow:
            text += f" ±{50 * (between[1] - between[0]):.1f}"
        elif between is not None and column in {"accuracy", "kappa"} and not narrow:
            low, high = (f"{each:.2f}" if column == "kappa" else f"{100 * each:.1f}" for each in between)
            text += f" ({low} to {high})"
        yield text


def _plain(name: str) -> str:
    """A name out of a file, which must not steer a terminal."""
    return "".join(c if c.isprintable() else " " for c in name)


def _people(humans: Report | None) -> Iterator[str]:
    if humans is None:
        return
    low, high = humans["pairwise_agreement_ci"]
    yield ""
    yield (
        f"People among themselves ({humans['n']} pairs, {humans['mean_votes']:.3g} votes each): agreement {100 * humans['pairwise_agreement']:.1f}% "
        f"({100 * low:.1f} to {100 * high:.1f}), Fleiss' kappa {figure(humans['fleiss_kappa'], 'kappa')}."
    )


def _groups(report: Report) -> Iterator[str]:
    for entry in report["critics"]:
        for name, values in entry["by"].items():
            yield ""
            yield f"{entry['critic']} by {name}:"
            for value, found in values.items():
                between = found["accuracy_ci"]
                wide = "" if between is None else f" ({100 * between[0]:.1f} to {100 * between[1]:.1f})"
                yield (
                    f"  {value}: accuracy {figure(found['accuracy'], 'accuracy')}{wide}, kappa {figure(found['kappa'], 'kappa')}, n = {found['n']}"
                )


def _spent(report: Report) -> Iterator[str]:
    if "requests" not in report:
        return
    from aifeedback.prices import in_dollars

    requests, cost = report["requests"], report["cost_usd"]
    price = "" if cost is None else f", cost {in_dollars(cost)}"
    yield ""
    yield f"{requests['sent']} requests sent ({requests['retried']} retried), {requests['from_store']} from the store{price}"


def _findings(report: Report) -> Iterator[str]:
    if report["findings"]:
        yield ""
    for text in report["findings"]:
        yield f"- {text}"
