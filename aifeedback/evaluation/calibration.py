"""Whether a P(a) means what it says: Brier score and expected calibration error."""

from __future__ import annotations

from collections import Counter

from aifeedback.evaluation.figures import MILLION
from aifeedback.evaluation.resampling import bootstrap_mean

BINS = 10
_WIDTH = MILLION // 2 // BINS


def calibration(probabilities: Counter[int], *, seed: int = 0) -> dict[str, object] | None:
    """Of pairs by P(the gold side) in millionths; None without any.

    Which response is called a means nothing, so bins are over P(preferred), from 0.5 to 1, against how often the
    preferred one is gold's; where nothing is preferred that is half.
    """
    n = sum(probabilities.values())
    if not n:
        return None
    cells = sorted(((MILLION - p) ** 2 / MILLION**2, count) for p, count in probabilities.items())
    counts = [count for _, count in cells]
    bins = [_bin(number, probabilities) for number in range(BINS)]
    ece = sum(each["n"] * abs(each["preference"] - each["right"]) for each in bins if each["n"]) / n
    return {
        "n": n,
        "brier": round(sum(error * count for error, count in cells) / n, 6),
        "brier_ci": bootstrap_mean([error for error, _ in cells], counts, seed=seed),
        "ece": round(ece, 6),
        "bins": [
            {name: round(value, 6) if each["n"] else None for name, value in each.items()}
            | {"from": each["from"], "to": each["to"], "n": int(each["n"])}
            for each in bins
        ],
    }


def _bin(number: int, probabilities: Counter[int]) -> dict[str, float]:
    """The pairs whose preference lies from `from` up to, but for the last, before `to`."""
    inside = [(p, count) for p, count in probabilities.items() if _number(max(p, MILLION - p)) == number]
    n = sum(count for _, count in inside)
    sums = {
        "preference": sum(max(p, MILLION - p) * count for p, count in inside) / MILLION,
        "right": sum(count * (1.0 if 2 * p > MILLION else 0.5 if 2 * p == MILLION else 0.0) for p, count in inside),
    }
    low = (MILLION // 2 + number * _WIDTH) / MILLION
    return {
        "from": low,
        "to": round(low + _WIDTH / MILLION, 6),
        "n": n,
        **{name: total / n if n else 0.0 for name, total in sums.items()},
    }


def _number(preference: int) -> int:
    return min((preference - MILLION // 2) // _WIDTH, BINS - 1)
