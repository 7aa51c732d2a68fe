"""The report's charts: length bias by ratio, how sure the labels are, and calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aifeedback.calibration import Bin, Calibration
from aifeedback.drawing import COLOURS, INK, drawing, legend, svg_of
from aifeedback.report.account import Account
from aifeedback.report.lengths import NAMES
from aifeedback.report.sureness import BINS
from aifeedback.report.wording import between, percent
from aifeedback.summary import Share

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart as SVG, with what it shows in words."""

    title: str
    about: str
    svg: str


def charts(account: Account) -> dict[str, Chart]:
    """Those for which there are numbers, by name. Raises ModuleNotFoundError without matplotlib."""
    found: dict[str, Chart] = {}
    if any(share.n for share in account.lengths.critic):
        found["length"] = _length(account)
    if account.sureness.n:
        found["sureness"] = _sureness(account)
    if account.calibration is not None:
        found["calibration"] = _calibration(account.calibration)
    return found


def _length(account: Account) -> Chart:
    title = "How often the longer response wins"
    about = "By how many times as long it is. Bars are 95% intervals; the dotted line is half."
    lengths = account.lengths
    people = any(share.n for share in lengths.people)
    with drawing("length") as (canvas, axes):
        _whiskers(axes, lengths.critic, "critic", 0, -0.09 if people else 0.0)
        if people:
            _whiskers(axes, lengths.people, "people", 1, 0.09)
            legend(axes)
        axes.axhline(0.5, color=INK, linewidth=0.9, linestyle=(0, (2, 3)), zorder=1)
        axes.set_xticks(range(len(NAMES)), NAMES, fontsize=9)
        axes.set_xlim(-0.5, len(NAMES) - 0.5)
        axes.set_xlabel("times as long")
        _as_percent(axes)
        told = "; ".join(
            f"{name}: {percent(share.rate)} of {share.n}"
            for name, share in zip(NAMES, lengths.critic, strict=True)
            if share.n
        )
        return Chart(title, about, svg_of(canvas, "length", title, f"{about} Critic: {told}."))


def _sureness(account: Account) -> Chart:
    from matplotlib.ticker import MaxNLocator

    title, about = "Labelled pairs by preference", "0.5 is a tie, 1 is certain."
    found = account.sureness
    with drawing("sureness") as (canvas, axes):
        left = [0.5 + i * 0.5 / BINS for i in range(BINS)]
        width = 0.5 / BINS * 0.86
        for values, below, name, colour, hatch in (
            (found.soft, [0] * BINS, "soft (probabilities)", COLOURS[0], ""),
            (found.hard, found.soft, "hard (votes)", COLOURS[1], "////"),
        ):
            if any(values):
                axes.bar(left, values, width, bottom=below, align="edge", label=name, zorder=3,
                         facecolor=COLOURS[0] if not hatch else "none", edgecolor=colour, hatch=hatch, linewidth=1)  # fmt: skip
        legend(axes)
        axes.set_xlim(0.49, 1.01)
        axes.set_xlabel("preference, P(chosen is better)")
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        told = "; ".join(
            f"{0.5 + i * 0.05:.2f} to {0.55 + i * 0.05:.2f}: {soft + hard}"
            for i, (soft, hard) in enumerate(zip(found.soft, found.hard, strict=True))
            if soft + hard
        )
        return Chart(title, about, svg_of(canvas, "sureness", title, f"{about} {told}."))


def _calibration(found: Calibration) -> Chart:
    title = "Is it right as often as it says?"
    about = "Share of pairs where people chose A, by what the critic said; on the dotted line both agree. Bars are 95% intervals."
    with drawing("calibration", height=3.2) as (canvas, axes):
        axes.plot([0, 1], [0, 1], color=INK, linewidth=0.9, linestyle=(0, (2, 3)), zorder=1)
        shown = [(each.mean, each) for each in found.bins if each.mean is not None]
        _errorbars(axes, [x for x, _ in shown], [each for _, each in shown], "critic", 0)
        axes.set_xlim(-0.03, 1.03)
        axes.set_xlabel("the critic's P(A is better)")
        _as_percent(axes)
        told = "; ".join(
            f"said {percent(x)}, true {percent(each.rate)} ({between(each.interval)}) of {each.n}" for x, each in shown
        )
        return Chart(title, about, svg_of(canvas, "calibration", title, f"{about} {told}."))


def _whiskers(axes: Axes, shares: Sequence[Share], name: str, colour: int, shift: float) -> None:
    shown = [(i + shift, share) for i, share in enumerate(shares) if share.n]
    _errorbars(axes, [x for x, _ in shown], [share for _, share in shown], name, colour)


def _errorbars(axes: Axes, at: Sequence[float], shares: Sequence[Share | Bin], name: str, colour: int) -> None:
    rates = [share.rate or 0.0 for share in shares]
    intervals = [share.interval or (rate, rate) for share, rate in zip(shares, rates, strict=True)]
    below = [max(rate - low, 0.0) for rate, (low, _) in zip(rates, intervals, strict=True)]
    above = [max(high - rate, 0.0) for rate, (_, high) in zip(rates, intervals, strict=True)]
    axes.errorbar(
        at,
        rates,
        yerr=(below, above),
        fmt="os"[colour],
        color=COLOURS[colour],
        markersize=5.5,
        elinewidth=1.6,
        label=name,
        zorder=3,
    )


def _as_percent(axes: Axes) -> None:
    from matplotlib.ticker import MultipleLocator, PercentFormatter

    axes.set_ylim(-0.03, 1.03)
    axes.yaxis.set_major_locator(MultipleLocator(0.25))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
