"""95% intervals by the bootstrap over pairs, drawn as counts, so that their cost does not grow with the file."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from aifeedback.measures import Interval

Counts = NDArray[np.float64]
"""Tables of counts, a row each."""
Statistic = Callable[[Counts], NDArray[np.float64]]
"""A figure of each row; nan where a row has none."""

DRAWS = 2000
# Values at a time: 16 MB.
_BLOCK = 2_000_000
_FEW_VALUES = 2000
_LEVELS = np.array([0.025, 0.975])


def bootstrap(
    counts: Sequence[int], statistic: Statistic, *, draws: int = DRAWS, seed: int = 0, bca: bool = True
) -> Interval | None:
    """The bootstrap's interval of a statistic that depends on counts alone; None where it does not exist.

    `bca`: bias-corrected and accelerated (Efron 1987), else by percentiles. The acceleration is that of the jackknife,
    which leaves out one pair of each cell in turn.
    """
    full = np.asarray(counts, dtype=np.float64)
    n = int(full.sum())
    estimate = float(statistic(full[None, :])[0]) if n else np.nan
    if not np.isfinite(estimate):
        return None
    return _interval(
        estimate, _draw(full, statistic, draws, seed), _acceleration(full, statistic) if bca else 0.0, bca=bca
    )


def bootstrap_mean(
    values: Sequence[float], counts: Sequence[int], *, draws: int = DRAWS, seed: int = 0, bca: bool = True
) -> Interval | None:
    """The same for a mean of values of which there are `counts` each, however many values there are."""
    each, n = np.asarray(values, dtype=np.float64), int(sum(counts))
    if not n:
        return None
    weights = np.asarray(counts, dtype=np.float64)
    if len(each) <= _FEW_VALUES:
        drawn = _draw(weights, lambda tables: np.asarray(tables @ each / n, dtype=np.float64), draws, seed)
    else:
        drawn = _drawn_one_by_one(np.repeat(each, np.asarray(counts)), draws, seed)
    mean = float(weights @ each / n)
    away = each - mean
    spread = float(weights @ away**2)
    acceleration = float(weights @ away**3) / (6 * spread**1.5) if spread > 0 else 0.0
    return _interval(mean, drawn, acceleration, bca=bca)


def _drawn_one_by_one(values: NDArray[np.float64], draws: int, seed: int) -> NDArray[np.float64]:
    generator, n = np.random.default_rng(seed), len(values)
    at_once = max(1, _BLOCK // n)
    return np.concatenate(
        [
            values[generator.integers(0, n, size=(min(at_once, draws - start), n))].mean(1)
            for start in range(0, draws, at_once)
        ]
    )


def _interval(estimate: float, values: NDArray[np.float64], acceleration: float, *, bca: bool) -> Interval | None:
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    levels = _adjusted(_LEVELS, acceleration, estimate, values) if bca else _LEVELS
    low, high = np.quantile(values, levels)
    return round(float(low), 6), round(float(high), 6)


def _draw(counts: Counts, statistic: Statistic, draws: int, seed: int) -> NDArray[np.float64]:
    generator = np.random.default_rng(seed)
    n, cells = int(counts.sum()), len(counts)
    shares = counts / counts.sum()
    at_once = max(1, _BLOCK // cells)
    found = [
        statistic(generator.multinomial(n, shares, size=min(at_once, draws - start)).astype(np.float64))
        for start in range(0, draws, at_once)
    ]
    return np.concatenate(found)


def _adjusted(
    levels: NDArray[np.float64], acceleration: float, estimate: float, values: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The percentiles to take instead (Efron & Tibshirani 1993, equation 14.10)."""
    below = (np.sum(values < estimate) + 0.5 * np.sum(values == estimate)) / len(values)
    if not 0 < below < 1:
        return levels
    shift = ndtri(below)
    z = shift + ndtri(levels)
    return np.asarray(ndtr(shift + z / (1 - acceleration * z)), dtype=np.float64)


def _acceleration(counts: Counts, statistic: Statistic) -> float:
    if counts.sum() < 2:
        return 0.0
    filled = np.flatnonzero(counts)
    weights = counts[filled]
    left_out = np.concatenate(
        [
            statistic(counts[None, :] - np.eye(len(counts))[block])
            for block in np.array_split(filled, max(1, len(filled) * len(counts) // _BLOCK))
        ]
    )
    weights = weights[np.isfinite(left_out)]
    left_out = left_out[np.isfinite(left_out)]
    if not len(left_out):
        return 0.0
    away = np.average(left_out, weights=weights) - left_out
    spread = float(np.sum(weights * away**2))
    return float(np.sum(weights * away**3) / (6 * spread**1.5)) if spread > 0 else 0.0
