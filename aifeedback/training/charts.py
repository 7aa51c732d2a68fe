"""How training went, as line charts: SVG to stand inside a page, in the page's own colours."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aifeedback.drawing import COLOURS, INK, drawing, legend, svg_of
from aifeedback.training.record import Figure, Point
from aifeedback.training.settings import Kind

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SMOOTHED_FROM = 40


@dataclass(frozen=True, slots=True)
class Line:
    """One curve: y None where a number is missing, which leaves a gap. `held_out` lines are few points, dotted."""

    name: str
    points: Sequence[tuple[int, Figure]]
    colour: int = 0
    held_out: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What one chart is to show. `level`: a value with a meaning of its own, drawn as a dashed line, and that meaning."""

    name: str
    title: str
    about: str
    lines: Sequence[Line]
    level: tuple[float, str] | None = None
    share: bool = False


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart as SVG; `note` says what can't be seen in it."""

    title: str
    about: str
    svg: str
    note: str


def charts(kind: Kind, history: Sequence[Point], evaluations: Sequence[Point]) -> tuple[Chart, ...]:
    """The charts for which there are numbers. Raises ModuleNotFoundError without matplotlib."""
    planned = [plan for plan in plans(kind, history, evaluations) if any(_drawable(line) for line in plan.lines)]
    return tuple(Chart(plan.title, plan.about, _draw(plan), _note(plan)) for plan in planned)


def plans(kind: Kind, history: Sequence[Point], evaluations: Sequence[Point]) -> tuple[Plan, ...]:
    """What there is to show of each kind of training."""

    def both(key: str) -> tuple[Line, ...]:
        return (_line("training", history, key), _line("held out", evaluations, key, 1, held_out=True))

    def pair(key: str) -> tuple[Line, ...]:
        trained = (_line("chosen", history, f"chosen_{key}"), _line("rejected", history, f"rejected_{key}", 1))
        return (
            trained
            if any(map(_drawable, trained))
            else tuple(
                _line(f"{side}, held out", evaluations, f"{side}_{key}", colour, held_out=True)
                for colour, side in enumerate(("chosen", "rejected"))
            )
        )

    loss = Plan(
        "loss", "Loss", "What training lowers. Held-out loss that rises again means too many epochs.", both("loss")
    )
    if kind == "sft":
        about = "Share of tokens that the model would have written itself."
        return loss, Plan("accuracy", "Token accuracy", about, both("accuracy"), share=True)
    margin = Plan(
        "margin",
        "Margin",
        "How much more the model prefers the chosen answer than before training.",
        both("margin"),
        (0.0, ""),
    )
    if kind == "kto":
        about = "What the model gained for answers with a thumb up (chosen) and a thumb down (rejected)."
        return loss, margin, Plan("rewards", "Rewards", about, pair("reward"), (0.0, ""))
    accuracy = Plan(
        "accuracy",
        "Accuracy",
        "Share of pairs in which the chosen answer gained more than the rejected one.",
        tuple(_decided(line, points) for line, points in zip(both("accuracy"), (history, evaluations), strict=True)),
        (0.5, "chance"),
        share=True,
    )
    about = "Of whole answers, in nats. The chosen line should not fall far."
    return loss, margin, accuracy, Plan("logps", "Log-probabilities", about, pair("logp"))


def undecided(point: Point) -> bool:
    """Whether this was measured before the first step: policy and reference are one, so accuracy means nothing yet."""
    margin = point.get("margin")
    return point.get("step") == 0 and (margin is None or abs(margin) < 1e-6)


def _line(name: str, points: Sequence[Point], key: str, colour: int = 0, *, held_out: bool = False) -> Line:
    found: list[tuple[int, Figure]] = []
    for number, point in enumerate(points):
        numbers: Mapping[str, object] = point
        if key in numbers:
            value = numbers[key]
            usable = isinstance(value, int | float) and math.isfinite(value)
            found.append(
                (point.get("step", number), float(value) if usable and isinstance(value, int | float) else None)
            )
    return Line(name, found, colour, held_out)


def _decided(line: Line, points: Sequence[Point]) -> Line:
    without = {point.get("step") for point in points if undecided(point)}
    return Line(line.name, [point for point in line.points if point[0] not in without], line.colour, line.held_out)


def _drawable(line: Line) -> bool:
    return any(value is not None for _, value in line.points)


def _note(plan: Plan) -> str:
    missing = sum(value is None for line in plan.lines for _, value in line.points)
    return f"{missing} {'value was' if missing == 1 else 'values were'} not a number and left out." if missing else ""


def _draw(plan: Plan) -> str:
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    with drawing(plan.name) as (canvas, axes):
        shown = [line for line in plan.lines if _drawable(line)]
        for line in shown:
            _draw_line(axes, line)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.set_xlabel("step")
        if plan.share:
            axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
            axes.set_ylim(*_share_limits(shown, plan.level))
        if plan.level is not None:
            axes.axhline(plan.level[0], color=INK, linewidth=0.9, linestyle=(0, (2, 3)), zorder=1)
            axes.annotate(
                plan.level[1],
                (1, plan.level[0]),
                xycoords=("axes fraction", "data"),
                ha="right",
                va="bottom",
                fontsize=9,
            )
        legend(axes)
        lines = " and ".join(line.name for line in shown)
        about = f"{plan.about} Lines: {lines}. {_ends(plan)}"
        return svg_of(canvas, plan.name, f"{plan.title} by step", about)


def _draw_line(axes: Axes, line: Line) -> None:
    steps = [step for step, _ in line.points]
    values = [math.nan if value is None else value for _, value in line.points]
    colour = COLOURS[line.colour]
    smooth = not line.held_out and len(values) >= _SMOOTHED_FROM
    # A point between two gaps is no line: it shows as a dot, as all do where they are few.
    alone = [i for i, value in enumerate(values) if not math.isnan(value) and _is_alone(values, i)]
    dots = list(range(len(values))) if line.held_out or len(values) <= 2 else alone
    style = "--" if line.colour == 1 and not line.held_out else "-"
    label = f"{line.name} (smoothed)" if smooth else line.name
    axes.plot(
        steps,
        _smoothed(values) if smooth else values,
        color=colour,
        linewidth=1.8,
        linestyle=style,
        marker="o" if dots else "",
        markersize=4.5,
        markevery=dots,
        label=label,
        zorder=3,
    )
    if smooth:
        axes.plot(steps, values, color=colour, linewidth=0.8, alpha=0.3, zorder=2)


def _is_alone(values: Sequence[float], i: int) -> bool:
    return all(math.isnan(value) for value in (*values[max(i - 1, 0) : i], *values[i + 1 : i + 2]))


def _smoothed(values: Sequence[float]) -> list[float]:
    """Each value as the mean of its neighbourhood, a tenth of the run; gaps stay gaps."""
    reach = max(len(values) // 20, 1)
    means = []
    for i, value in enumerate(values):
        near = [other for other in values[max(i - reach, 0) : i + reach + 1] if not math.isnan(other)]
        means.append(math.nan if math.isnan(value) else sum(near) / len(near))
    return means


def _share_limits(lines: Sequence[Line], level: tuple[float, str] | None) -> tuple[float, float]:
    values = [value for line in lines for _, value in line.points if value is not None]
    values += [level[0]] if level else []
    low, high = min(values), max(values)
    room = max((high - low) * 0.08, 0.05)
    return max(low - room, -0.02), min(high + room, 1.02)


def _ends(plan: Plan) -> str:
    """First and last value of each line, for whoever hears the chart."""
    said = []
    for line in plan.lines:
        values = [value for _, value in line.points if value is not None]
        if values:
            said.append(f"{line.name}: from {values[0]:.3g} to {values[-1]:.3g}.")
    return " ".join(said)
