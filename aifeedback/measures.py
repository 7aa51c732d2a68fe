"""Rates and their intervals: consistency, position and length bias, agreement with people."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

Interval = tuple[float, float]

LEVEL = 0.95


@lru_cache(maxsize=8)
def _z(level: float) -> float:
    return NormalDist().inv_cdf((1 + level) / 2)


def wilson(hits: float, n: int, level: float = LEVEL) -> Interval | None:
    """Wilson's score interval for a rate over independent pairs (Wilson 1927); None for n = 0."""
    return _wilson(hits / n, n, level) if n else None


def _wilson(p: float, n: float, level: float) -> Interval:
    z = _z(level)
    z2 = z * z
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = z * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return (round(max(0.0, centre - half), 6), round(min(1.0, centre + half), 6))


def paired_difference(
    both: float, first: float, second: float, neither: float, level: float = LEVEL
) -> Interval | None:
    """Interval of p1 - p2, two rates over the same pairs: how many hit in both, in the first or second alone, in neither.

    Wilson's intervals of the two, squared and added with their correlation (Newcombe 1998, Statistics in Medicine 17,
    2635-2650, method 10). None without any pair.
    """
    n = both + first + second + neither
    if n == 0:
        return None
    p1, p2 = (both + first) / n, (both + second) / n
    (low1, high1), (low2, high2) = _wilson(p1, n, level), _wilson(p2, n, level)
    margins = (both + first) * (second + neither) * (both + second) * (first + neither)
    crossed = both * neither - first * second
    phi = (max(crossed - n / 2, 0) if crossed > 0 else crossed) / math.sqrt(margins) if margins else 0.0
    below = math.sqrt(max(0.0, (p1 - low1) ** 2 - 2 * phi * (p1 - low1) * (high2 - p2) + (high2 - p2) ** 2))
    above = math.sqrt(max(0.0, (high1 - p1) ** 2 - 2 * phi * (high1 - p1) * (p2 - low2) + (p2 - low2) ** 2))
    return (round(p1 - p2 - below, 6), round(p1 - p2 + above, 6))


@dataclass(slots=True)
class ClusteredRate:
    """A rate over verdicts whose pairs are the independent units; grows one pair at a time, in constant memory.

    Its interval is Wilson's with the number of verdicts divided by the design effect, the variance of the ratio
    estimator over clusters against that of independent verdicts (Cochran 1977, section 11; Korn & Graubard 1998).
    """

    clusters: int = 0
    hits: int = 0
    n: int = 0
    hits2: int = 0
    n2: int = 0
    hits_n: int = 0

    def add(self, hits: int, n: int) -> None:
        """One pair's verdicts: `hits` of `n`."""
        if n == 0:
            return
        self.clusters += 1
        self.hits += hits
        self.n += n
        self.hits2 += hits * hits
        self.n2 += n * n
        self.hits_n += hits * n

    @property
    def rate(self) -> float | None:
        """Hits over verdicts; None without any."""
        return self.hits / self.n if self.n else None

    def without(self, others: ClusteredRate) -> ClusteredRate:
        """The same without some of its pairs."""
        return ClusteredRate(
            self.clusters - others.clusters,
            self.hits - others.hits,
            self.n - others.n,
            self.hits2 - others.hits2,
            self.n2 - others.n2,
            self.hits_n - others.hits_n,
        )

    def interval(self, level: float = LEVEL) -> Interval | None:
        """Its interval, of 95% unless told; None without any verdict."""
        if self.n == 0:
            return None
        p = self.hits / self.n
        residual = self.hits2 - 2 * p * self.hits_n + p * p * self.n2
        independent = self.n * p * (1 - p)
        if self.clusters < 2 or independent <= 0:
            return _wilson(p, self.clusters, level)
        effect = residual * self.clusters / (self.clusters - 1) / independent
        # A critic that is fair to the places answers the two orders oppositely: the effect may be far below 1, or 0.
        return _wilson(p, self.n / max(effect, 1 / self.n), level)


Confusion = tuple[int, int, int, int]
"""Labelled pairs counted by (label, gold): a-a, a-b, b-a, b-b."""


def kappa(confusion: Sequence[int]) -> float | None:
    """Cohen's kappa (1960) of two raters over two classes; None where chance agreement is complete or n is 0."""
    aa, ab, ba, bb = confusion
    n = aa + ab + ba + bb
    if n == 0:
        return None
    expected = ((aa + ab) * (aa + ba) + (ba + bb) * (ab + bb)) / (n * n)
    if expected == 1.0:
        return None
    return ((aa + bb) / n - expected) / (1 - expected)


def kappa_interval(confusion: Sequence[int], *, draws: int = 1000, seed: int = 0) -> Interval | None:
    """Percentile bootstrap over pairs, drawn as counts, so that its cost does not grow with the file."""
    n = sum(confusion)
    if kappa(confusion) is None:
        return None
    confusion = min(tuple(confusion), tuple(confusion)[::-1])  # drawn alike when a and b are exchanged everywhere
    generator = random.Random(seed)  # noqa: S311 - a resample, not a secret
    values = sorted(value for _ in range(draws) if (value := kappa(_resample(confusion, n, generator))) is not None)
    return (round(values[int(0.025 * len(values))], 6), round(values[math.ceil(0.975 * len(values)) - 1], 6))


def _resample(counts: Sequence[int], n: int, generator: random.Random) -> list[int]:
    """One multinomial draw of `n` from `counts`, a binomial at a time."""
    left, mass, drawn = n, n, []
    for count in counts[:-1]:
        p = count / mass if mass else 0.0
        hit = _binomial(left, p, generator)
        drawn.append(hit)
        left -= hit
        mass -= count
    return [*drawn, left]


def _binomial(n: int, p: float, generator: random.Random) -> int:
    """A binomial draw: by the normal approximation where it is close, else by the gaps between the rarer outcome."""
    rarer = min(p, 1 - p)
    if n * rarer > 50:
        hits = min(max(round(generator.gauss(n * rarer, math.sqrt(n * rarer * (1 - rarer)))), 0), n)
    else:
        hits = _rare(n, rarer, generator)
    return hits if p == rarer else n - hits


def _rare(n: int, p: float, generator: random.Random) -> int:
    if p <= 0:
        return 0
    hits, position = 0, 0
    while True:
        position += math.floor(math.log(1.0 - generator.random()) / math.log1p(-p)) + 1
        if position > n:
            return hits
        hits += 1
