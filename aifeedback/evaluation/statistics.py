"""Figures of tables of counts, many tables at a time: kappa, macro F1, agreement among people.

scikit-learn and statsmodels have each of them for one table; the bootstrap needs thousands at once. The tests hold one
against the other.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aifeedback.evaluation.resampling import Counts, Statistic

Figure = NDArray[np.float64]


def kappa(classes: int, kinds: int) -> Statistic:
    """Cohen's kappa (1960) of `classes` of gold against `kinds` of prediction, of which the first are the same classes."""

    def of(tables: Counts) -> Figure:
        table = tables.reshape(-1, classes, kinds)
        n = tables.sum(1)
        expected = (table.sum(2) * table.sum(1)[:, :classes]).sum(1) / n**2
        observed = _diagonal(tables, classes, kinds).sum(1) / n
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(expected < 1, (observed - expected) / (1 - expected), np.nan)

    return of


def macro_f1(classes: int, kinds: int) -> Statistic:
    """The mean over the gold classes of F1; 0 for a class that is neither there nor predicted."""

    def of(tables: Counts) -> Figure:
        table = tables.reshape(-1, classes, kinds)
        both = table.sum(2) + table.sum(1)[:, :classes]
        hits = _diagonal(tables, classes, kinds)
        each: Figure = np.divide(2 * hits, both, out=np.zeros_like(hits), where=both > 0)
        return np.asarray(each.mean(1))

    return of


def _diagonal(tables: Counts, classes: int, kinds: int) -> Figure:
    return np.asarray(np.diagonal(tables.reshape(-1, classes, kinds)[:, :, :classes], axis1=1, axis2=2))


def mean_of(values: NDArray[np.float64]) -> Statistic:
    """The mean of the values of which there are so many each."""

    def of(tables: Counts) -> Figure:
        return np.asarray(tables @ values / tables.sum(1), dtype=np.float64)

    return of


def pairwise_agreement(votes: NDArray[np.float64]) -> Statistic:
    """The mean over pairs of the share of two voters who say the same; a row of `votes` for each cell of the counts."""
    return mean_of(_agreeing(votes))


def fleiss_kappa(votes: NDArray[np.float64]) -> Statistic:
    """Fleiss' kappa; with unequal numbers of voters each pair counts the same (Gwet 2014, section 2.5).

    With equal numbers it is that of Fleiss 1971.
    """
    agreeing = _agreeing(votes)
    shares = votes / votes.sum(1, keepdims=True)

    def of(tables: Counts) -> Figure:
        n = tables.sum(1)
        observed = tables @ agreeing / n
        expected = ((tables @ shares / n[:, None]) ** 2).sum(1)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(expected < 1, (observed - expected) / (1 - expected), np.nan)

    return of


def _agreeing(votes: NDArray[np.float64]) -> NDArray[np.float64]:
    voters = votes.sum(1)
    return np.asarray((votes * (votes - 1)).sum(1) / (voters * (voters - 1)), dtype=np.float64)
