"""The report as one HTML page: needs no network; texts of the data are shown, never run."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aifeedback import __version__
from aifeedback.jsontext import dumps, scrub
from aifeedback.report.advice import steps
from aifeedback.report.charts import charts
from aifeedback.report.entries import SHORT, WHOLE, in_script
from aifeedback.report.facts import Facts
from aifeedback.report.findings import findings
from aifeedback.report.kinds import KINDS
from aifeedback.report.parts import figures, funnel, funnel_note, headline, lead, parts
from aifeedback.report.view import Table
from aifeedback.report.wording import STATUSES, between, count, percent

if TYPE_CHECKING:
    from markupsafe import Markup

_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Shown:
    """The pairs that the page holds, as JSON objects; `complete`: all there are, with whole texts."""

    entries: Sequence[str]
    by_status: Mapping[str, int]
    in_file: Mapping[str, int]
    complete: bool
    seed: int


def render(facts: Facts, shown: Shown) -> str:
    """The page. The same facts and pairs give the same page. Raises ModuleNotFoundError without matplotlib."""
    import jinja2
    from markupsafe import Markup

    style, script = _asset("page.css"), _asset("page.js")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    # Markup on a chart: it was drawn by us from numbers, and no text of the data is in it.
    filters: dict[str, Callable[..., str]] = {
        "at": _at,
        "between": between,
        "count": count,
        "drawn": Markup,
        "percent": percent,
    }
    environment.filters |= filters
    page = environment.from_string(_asset("page.html.jinja")).render(
        facts=facts,
        headline=headline(facts),
        lead=lead(facts),
        figures=figures(facts),
        findings=findings(facts),
        steps=steps(facts),
        funnel=funnel(facts),
        funnel_note=funnel_note(facts),
        parts=parts(facts),
        charts=charts(facts.account),
        sampled=sampled(shown),
        shown_all=len(shown.entries) == sum(shown.in_file.values()),
        shown_table=_shown_table(shown),
        version=__version__,
        style=Markup(style),  # noqa: S704 - ours
        script=Markup(script),  # noqa: S704 - ours
        style_hash=_hash(style),
        script_hash=_hash(script),
        data=_data(shown),
    )
    return scrub(page)


def _at(rate: float) -> str:
    return f"{100 * rate:.2f}%"


def sampled(shown: Shown) -> str:
    """How many of how many pairs there are, and how far their texts are cut."""
    total, here = sum(shown.in_file.values()), len(shown.entries)
    cut = WHOLE if shown.complete else SHORT
    texts = f"Texts longer than {cut.text:,} characters are cut, reasons at {cut.reason:,}; the cut is marked."
    if here == total:
        return f"All {count(total, 'pair')}. {texts}"
    return (
        f"{here:,} of {count(total, 'pair')}, so that the page stays small: drawn by seed ({shown.seed}), "
        f"a share for each status and each bias first. The figures above count all of them. {texts}"
    )


def _shown_table(shown: Shown) -> Table:
    rows = [
        (name, count(shown.by_status.get(status, 0)), count(shown.in_file[status]))
        for status, (name, _) in STATUSES.items()
        if shown.in_file.get(status)
    ]
    return Table("", ("Status", "Here", "In the file"), rows)


def _data(shown: Shown) -> Markup:
    from markupsafe import Markup

    statuses = [("" if status == "labeled" else status, name) for status, (name, _) in STATUSES.items()]
    head = in_script(dumps({"statuses": statuses, "kinds": list(KINDS.items()), "total": sum(shown.in_file.values())}))
    return Markup(head[:-1] + ',"pairs":[\n' + ",\n".join(shown.entries) + "\n]}")  # noqa: S704 - escaped by in_script


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _asset(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")
