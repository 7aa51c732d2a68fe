"""Draws docs/speed.svg from the figures that label_speed.py writes to its stdin.

Usage: python benchmarks/speed_plot.py TARGET.svg < figures.json
"""

from __future__ import annotations

import json
import sys
from statistics import median

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLOURS = {"bare client": "#888888", "aifeedback label": "#0072b2"}
PLAIN = {
    "svg.fonttype": "none",
    "svg.hashsalt": "speed",
    "font.family": "sans-serif",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#ddd",
    "axes.axisbelow": True,
}


def draw_cpu(axes: Axes, settings: dict[str, dict[str, list[float]]]) -> None:
    """Bars are medians, dots are runs."""
    width = 0.36
    for place, runs_of in enumerate(settings.values()):
        for side, (program, runs) in zip((-0.5, 0.5), runs_of.items(), strict=True):
            at = place + side * width
            axes.bar(at, median(runs), width, color=COLOURS[program], label=program if place == 0 else None)
            axes.plot([at] * len(runs), runs, ".", color="black", markersize=3)
            axes.annotate(
                f"{median(runs):.2f}", (at, max(runs)), xytext=(0, 3), textcoords="offset points", ha="center"
            )
    axes.set_xticks(range(len(settings)), [name.replace(", ", "\n") for name in settings])
    axes.grid(visible=False, axis="x")
    axes.margins(y=0.3)
    axes.set_ylabel("ms")
    axes.set_title("CPU a request, start-up included")
    axes.legend(frameon=False, loc="upper left")


def draw_memory(axes: Axes, pairs: list[int], peaks: list[list[float]]) -> None:
    axes.plot(pairs, [median(each) for each in peaks], "o-", color=COLOURS["aifeedback label"])
    for count, each in zip(pairs, peaks, strict=True):
        axes.annotate(
            f"{median(each):.0f}", (count, median(each)), xytext=(0, 6), textcoords="offset points", ha="center"
        )
    axes.set_xscale("log")
    axes.set_xticks(pairs, [f"{count:,}".replace(",", " ") for count in pairs])
    axes.minorticks_off()
    axes.margins(x=0.16)
    axes.set_ylim(0, 1.3 * max(max(each) for each in peaks))
    axes.set_xlabel("pairs")
    axes.set_ylabel("MB")
    axes.set_title("Peak memory")


def main(target: str) -> None:
    figures = json.load(sys.stdin)
    # Reset first: nobody's matplotlibrc changes the drawing.
    with style.context(PLAIN, after_reset=True):
        figure = Figure(figsize=(9, 3.4), layout="constrained")
        cpu, memory = figure.subplots(1, 2)
        draw_cpu(cpu, figures["asking"])
        draw_memory(memory, figures["memory"]["pairs"], figures["memory"]["peak_mb"])
        figure.savefig(target, format="svg", facecolor="white", metadata={"Date": None, "Creator": None})


if __name__ == "__main__":
    main(sys.argv[1])
