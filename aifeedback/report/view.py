"""What a page is made of: rates with their intervals, tables and remarks, in plain text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aifeedback.measures import Interval
from aifeedback.report.wording import between, percent
from aifeedback.summary import Share


@dataclass(frozen=True, slots=True)
class Rate:
    """One figure from 0 to 1, `of` what. `fair`: what it is where nothing biases it, None where that can't be said.

    `chance`: what a coin would get; `off`: a bias was found in it.
    """

    name: str
    rate: float | None
    interval: Interval | None
    of: str
    fair: float | None = None
    note: str = ""
    chance: float | None = None
    off: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Cells of plain text; those from column `numbers` on are figures."""

    title: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    numbers: int = 1
    note: str = ""

    @property
    def wide(self) -> bool:
        """Whether it needs the width of the page."""
        return len(self.head) > 3 or self.numbers > 1


@dataclass(frozen=True, slots=True)
class Part:
    """One section. `short`: its name where there is little room; `charts`: the names of those that belong to it."""

    anchor: str
    short: str
    title: str
    about: str
    rates: Sequence[Rate] = ()
    tables: Sequence[Table] = ()
    remarks: Sequence[str] = ()
    charts: Sequence[str] = ()
    empty: str = ""


def rate_of(
    name: str,
    share: Share,
    noun: str,
    *,
    of: str = "",
    fair: float | None = None,
    note: str = "",
    chance: float | None = None,
    off: bool = False,
) -> Rate:
    """`noun`: what is counted, in the plural; `of`: all that is said of it instead."""
    return Rate(name, share.rate, share.interval, of or counted(share.n, noun), fair, note, chance, off)


def counted(n: int, noun: str) -> str:
    """So many of what is named in the plural."""
    return f"{n:,} {noun.replace('pairs', 'pair', 1).replace('verdicts', 'verdict', 1) if n == 1 else noun}"


def with_interval(rate: float | None, interval: Interval | None) -> str:
    """`68.4% (64.1–72.5%)`."""
    return percent(rate) + (f" ({between(interval)})" if interval else "")


def with_count(share: Share) -> str:
    """`68.4% (64–73%) of 250`; a dash for none."""
    if share.interval is None:
        return "–"
    low, high = share.interval
    return f"{percent(share.rate)} ({100 * low:.0f}–{100 * high:.0f}%) of {share.n:,}"
