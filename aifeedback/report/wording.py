"""Numbers as people read them, and what each status means."""

from __future__ import annotations

from collections.abc import Mapping

from aifeedback.measures import Interval

STATUSES: Mapping[str, tuple[str, str]] = {
    "labeled": ("Labelled", "A winner that a trainer can learn from."),
    "tie": ("Tie", "The critic finds both equally good."),
    "conflict": ("Conflict", "The two orders name opposite winners: the place decided."),
    "weak": ("Weak", "The preference is below --min-preference."),
    "length": ("Length", "Dropped by --length-control."),
    "unparsed": ("Unparsed", "No verdict could be read in the reply."),
    "refused": ("Refused", "The critic or a content filter refused to answer."),
    "too_long": ("Too long", "The pair does not fit the critic's context."),
    "failed": ("Failed", "No answer after the retries."),
    "unasked": ("Unasked", "The run stopped first."),
    "invalid": ("Invalid", "The line is no usable pair."),
}


def count(n: int, one: str = "", many: str = "") -> str:
    """With separators, and the noun if one is given: `1 pair`, `1,200 pairs`."""
    noun = one if n == 1 else many or f"{one}s"
    return f"{n:,} {noun}" if one else f"{n:,}"


def percent(rate: float | None) -> str:
    """`68.4%`; a dash where there is none."""
    return "–" if rate is None else f"{100 * rate:.1f}%"


def between(interval: Interval | None) -> str:
    """`64.1–72.5%`; `""` where there is none."""
    return "" if interval is None else f"{100 * interval[0]:.1f}–{100 * interval[1]:.1f}%"


def usd(cost: float) -> str:
    """With as many digits as a small sum needs."""
    return f"${cost:,.2f}" if cost >= 1 or not cost else f"${cost:.4f}"


def duration(seconds: float) -> str:
    """`42 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s" if whole >= 10 else f"{seconds:.1f} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def listed(names: list[str], *, most: int = 3) -> str:
    """`a, b and 2 more`."""
    known = [" ".join(name.split()) or "an unnamed one" for name in names]
    shown = known[:most] + ([f"{len(known) - most} more"] if len(known) > most else [])
    return " and ".join(filter(None, (", ".join(shown[:-1]), shown[-1]))) if shown else ""


def short(name: str, most: int = 120) -> str:
    """A name as it fits into a table."""
    return name if len(name) <= most else f"{name[: most - 1]}…"
