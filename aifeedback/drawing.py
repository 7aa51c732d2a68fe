"""Charts of matplotlib's as SVG to stand inside a page, in the page's own colours and letters."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Drawn in these colours, which then become the page's variables: one drawing for light, dark and paper. Blue and
# vermilion stay apart for every kind of colour vision (Okabe & Ito 2008); dashes and dots tell them apart in grey.
INK, RULE, COLOURS = "#010203", "#040506", ("#070809", "#0a0b0c")
_VARIABLES = {
    INK: "var(--muted, #555)",
    RULE: "var(--rule, #ddd)",
    COLOURS[0]: "var(--line-1, #0072b2)",
    COLOURS[1]: "var(--line-2, #c04d00)",
}
_WIDTH, _HEIGHT, _DPI = 4.6, 2.7, 72
_STYLE = {
    "svg.fonttype": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.edgecolor": RULE,
    "axes.labelcolor": INK,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.xmargin": 0.02,
    "grid.color": RULE,
    "grid.linewidth": 0.7,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "ytick.major.size": 0,
    "text.color": INK,
    "font.size": 10,
    "legend.frameon": False,
    "legend.fontsize": 10,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
}


@contextmanager
def drawing(name: str, *, height: float = _HEIGHT) -> Iterator[tuple[Figure, Axes]]:
    """A canvas to draw on, `height` inches high. The same name and drawing give the same bytes.

    Raises ModuleNotFoundError without matplotlib.
    """
    from matplotlib import style
    from matplotlib.figure import Figure

    # Reset first: nobody's matplotlibrc changes the page.
    with style.context(_STYLE | {"svg.hashsalt": name}, after_reset=True):
        canvas = Figure(figsize=(_WIDTH, height), dpi=_DPI, layout="constrained")
        yield canvas, canvas.add_subplot()


def legend(axes: Axes) -> None:
    """What each line is, above the chart."""
    axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=2, borderaxespad=0.2, handlelength=1.8)


def svg_of(canvas: Figure, name: str, title: str, about: str) -> str:
    """The drawing as an element of a page: `title` and `about` tell it to whoever can't see it."""
    file = io.BytesIO()
    canvas.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = _in_page(file.getvalue().decode(), name)
    head = f'<svg role="img" aria-labelledby="{name}-title {name}-about" '
    told = f'<title id="{name}-title">{html.escape(title)}</title><desc id="{name}-about">{html.escape(about)}</desc>'
    opening, rest = svg.split(">", 1)
    opening = re.sub(r' (width|height)="[^"]*"', "", opening)
    return head + opening.removeprefix("<svg ") + ">" + told + rest


def _in_page(svg: str, name: str) -> str:
    """Without what belongs to a file of its own; ids, colours and letters are made the page's."""
    svg = svg[svg.index("<svg") :].strip()
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", svg)
    # A page that lets no style run but its own refuses style elements and attributes of others: presentation
    # attributes say the same.
    svg = re.sub(r"\s*<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = svg.replace("<svg ", '<svg stroke-linejoin="round" stroke-linecap="butt" ', 1)
    svg = re.sub(r' style="([^"]*)"', lambda found: _attributes(found[1]), svg)
    for drawn, variable in _VARIABLES.items():
        svg = svg.replace(drawn, variable)
    return svg


def _attributes(style: str) -> str:
    """What a style attribute says, as presentation attributes; letters are the page's."""
    said = [part.split(":", 1) for part in style.split(";") if ":" in part]
    attributes = {name.strip(): value.strip() for name, value in said}
    if "font" in attributes and (size := re.search(r"[\d.]+px", attributes.pop("font"))):
        attributes["font-size"] = size[0]
    if "font-size" in attributes or "font-family" in attributes:
        attributes["font-family"] = "var(--sans, sans-serif)"
    return "".join(f' {name}="{value}"' for name, value in attributes.items())
