"""The figures of one critic as they stand in the JSON: each rate with its 95% interval beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from aifeedback.evaluation.figures import MILLION, Figures, Said
from aifeedback.evaluation.humans import agreement_with_votes
from aifeedback.evaluation.resampling import Statistic, bootstrap, bootstrap_mean
from aifeedback.evaluation.statistics import kappa, macro_f1
from aifeedback.measures import wilson
from aifeedback.records import Order, Winner

_CLASSES: tuple[Winner, ...] = ("a", "b", "tie")
_KINDS: tuple[Said, ...] = ("a", "b", "tie", "none")
_MIRROR: Mapping[str, str] = {"a": "b", "b": "a"}


def record(figures: Figures, *, seed: int = 0) -> dict[str, object]:
    """Contract section 8's keys, without the name."""
    tally = figures.tally
    by_order = figures.right_by_order
    both = figures.verdicts.n > 0
    mean = figures.verdicts.rate
    labelled, hits = sum(tally.confusion), tally.confusion[0] + tally.confusion[3]
    rates = tally.rates()
    agreement = rates.pop("agreement")
    chance_corrected = agreement if isinstance(agreement, dict) else {"kappa": None, "kappa_ci": None}
    return {
        **figures.counts(),
        "accuracy": figures.right.rate,
        "accuracy_ci": figures.right.interval,
        "accuracy_decided": round(hits / labelled, 6) if labelled else None,
        "accuracy_decided_ci": wilson(hits, labelled),
        "accuracy_by_order": {order.value: by_order[order].rate for order in Order},
        "accuracy_by_order_ci": {order.value: by_order[order].interval for order in Order},
        "accuracy_mean": None if mean is None else round(mean, 6),
        "accuracy_mean_ci": figures.verdicts.interval(),
        "accuracy_both": figures.right_in_both.rate if both else None,
        "accuracy_both_ci": figures.right_in_both.interval if both else None,
        **rates,
        "gold_longer_rate": tally.gold_longer.rate,
        "gold_longer_rate_ci": tally.gold_longer.interval,
        "kappa": chance_corrected["kappa"],
        "kappa_ci": chance_corrected["kappa_ci"],
        "three_way": _three_way(figures, seed),
        "calibration": _calibration(figures, seed),
        **agreement_with_votes(figures.heard, seed=seed),
    }


def _three_way(figures: Figures, seed: int) -> dict[str, object] | None:
    """Against gold's three classes; what is no winner and no tie is one further kind of answer."""
    if not figures.gold_ties:
        return None
    table, n = figures.table, figures.n_gold
    right = sum(table[gold, gold] for gold in _CLASSES)
    found: dict[str, object] = {"n": n, "accuracy": round(right / n, 6), "accuracy_ci": wilson(right, n)}
    for name, statistic in (("kappa", kappa(3, 4)), ("macro_f1", macro_f1(3, 4))):
        found[name], found[f"{name}_ci"] = _table(table, _CLASSES, _KINDS, statistic, seed)
    return found


def _calibration(figures: Figures, seed: int) -> dict[str, object] | None:
    """P(a) against gold; None where every verdict is hard."""
    found = figures.calibration
    if not figures.soft or found.brier is None or found.ece is None:
        return None
    errors = sorted(((MILLION - p) ** 2 / MILLION**2, count) for p, count in figures.probabilities.items())
    return {
        "n": found.n,
        "brier": round(found.brier, 6),
        "brier_ci": bootstrap_mean([error for error, _ in errors], [count for _, count in errors], seed=seed),
        "ece": round(found.ece, 6),
        "bins": [
            {
                "from": each.low,
                "to": each.high,
                "n": each.n,
                "p_a": None if each.mean is None else round(each.mean, 6),
                "gold_a": None if each.rate is None else round(each.rate, 6),
                "gold_a_ci": each.interval,
            }
            for each in found.bins
        ],
    }


def _table(
    counted: Counter[tuple[Winner, Said]],
    classes: tuple[Winner, ...],
    kinds: tuple[Said, ...],
    statistic: Statistic,
    seed: int,
) -> tuple[float | None, tuple[float, float] | None]:
    """A figure of the table and its interval; drawn alike when a and b are exchanged everywhere."""
    cells = [(gold, kind) for gold in classes for kind in kinds]
    there = [counted[cell] for cell in cells]
    mirrored = [counted[_MIRROR.get(gold, gold), _MIRROR.get(kind, kind)] for gold, kind in cells]  # type: ignore[index]
    counts = min(there, mirrored)
    if not sum(counts):
        return None, None
    value = float(statistic(np.array([counts], dtype=np.float64))[0])
    if np.isnan(value):
        return None, None
    return round(value, 6), bootstrap(counts, statistic, seed=seed)
