"""Whether a P(a) means what it says: Brier score and expected calibration error against what people chose."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from aifeedback.measures import Interval, wilson
from aifeedback.records import PA

BINS = 10
"""Of equal width, from 0 to 1; and one between them for exactly 0.5."""

_MILLION = 1_000_000
_HALF = _MILLION // 2
_WIDTH = _MILLION // BINS
_MIDDLE = BINS // 2


@dataclass(slots=True)
class Bin:
    """Pairs whose P(a) lies between `low` and `high`: how many, the sum of P(a) over them, and how often gold is a."""

    low: float
    high: float
    n: int = 0
    said: float = 0.0
    chosen: int = 0

    @property
    def mean(self) -> float | None:
        """The mean P(a); None without any pair."""
        return self.said / self.n if self.n else None

    @property
    def rate(self) -> float | None:
        """The share of pairs whose gold is a; None without any pair."""
        return self.chosen / self.n if self.n else None

    @property
    def interval(self) -> Interval | None:
        """The 95% interval of that share (Wilson)."""
        return wilson(self.chosen, self.n)


class Calibration:
    """P(a) against gold, pair by pair, in constant memory.

    A P(a) on the edge of two bins belongs to the outer one, and exactly 0.5 to neither side: so exchanging a and b in
    all pairs mirrors the bins and changes no figure.
    """

    def __init__(self) -> None:
        edges = [number / BINS for number in range(BINS + 1)]
        self.bins = [Bin(low, high) for low, high in itertools.pairwise(edges)]
        self.bins.insert(_MIDDLE, Bin(0.5, 0.5))
        self.n = 0
        self._squares = 0.0

    def add(self, p_a: PA, *, gold_is_a: bool) -> None:
        """Fold one pair with a gold of a or b in."""
        each = self.bins[_number(round(p_a * _MILLION))]
        each.n += 1
        each.said += p_a
        each.chosen += gold_is_a
        self.n += 1
        self._squares += (p_a - gold_is_a) ** 2

    @property
    def brier(self) -> float | None:
        """The mean of (P(a) - y)², y being 1 where gold is a, else 0 (Brier 1950, Monthly Weather Review 78, 1-3)."""
        return self._squares / self.n if self.n else None

    @property
    def ece(self) -> float | None:
        """How far the mean P(a) and the share of a lie apart in each bin, weighted by its pairs.

        Naeini et al. 2015; Guo et al. 2017 (arXiv:1706.04599), section 2.
        """
        return sum(abs(each.said - each.chosen) for each in self.bins) / self.n if self.n else None


def _number(p: int) -> int:
    """The bin of a P(a) in millionths."""
    if p == _HALF:
        return _MIDDLE
    if p > _HALF:
        return 1 + min(p // _WIDTH, BINS - 1)
    return BINS - 1 - min((_MILLION - p) // _WIDTH, BINS - 1)
