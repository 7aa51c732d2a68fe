"""Two critics on the same pairs: how far apart their accuracies are, and whether that may be luck."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from aifeedback.evaluation.figures import RIGHT, WRONG
from aifeedback.measures import Interval, paired_difference


@dataclass(frozen=True, slots=True)
class Comparison:
    """What `first` and `second` earned on the `n` pairs that both judged and whose gold names a side.

    `first_better` counts pairs where the first alone was right, `second_better` those where the second was; `p` is the
    exact McNemar test's of these, `p_holm` the same among as many comparisons as were made.
    """

    first: str
    second: str
    n: int
    accuracy_first: float
    accuracy_second: float
    interval: Interval
    first_better: int
    second_better: int
    p: float
    p_holm: float

    @property
    def difference(self) -> float:
        """The first's accuracy less the second's."""
        return round(self.accuracy_first - self.accuracy_second, 6)

    def record(self) -> dict[str, object]:
        """As it stands in the JSON."""
        return {
            "first": self.first,
            "second": self.second,
            "n": self.n,
            "accuracy_first": round(self.accuracy_first, 6),
            "accuracy_second": round(self.accuracy_second, 6),
            "difference": self.difference,
            "difference_ci": self.interval,
            "only_first_right": self.first_better,
            "only_second_right": self.second_better,
            "p": _rounded(self.p),
            "p_holm": _rounded(self.p_holm),
        }


def compare(first: str, second: str, earned: Counter[tuple[int, int]]) -> Comparison | None:
    """Compare by how often the two earned what, in halves; None without a common pair."""
    n = sum(earned.values())
    if not n:
        return None
    better, worse = earned[RIGHT, WRONG], earned[WRONG, RIGHT]
    p, interval = _exact(better, worse), paired_interval(earned)
    assert interval is not None, "there are pairs"
    one, other = (sum(pair[place] * count for pair, count in earned.items()) / (2 * n) for place in range(2))
    return Comparison(first, second, n, one, other, interval, better, worse, p, p)


def paired_interval(earned: Counter[tuple[int, int]]) -> Interval | None:
    """That of the difference (Newcombe 1998, method 10). What earned half is right in one half of itself, wrong in the other."""
    both = sum(min(pair) * count for pair, count in earned.items()) / 2
    first = sum(max(0, one - other) * count for (one, other), count in earned.items()) / 2
    second = sum(max(0, other - one) * count for (one, other), count in earned.items()) / 2
    return paired_difference(both, first, second, sum(earned.values()) - both - first - second)


def with_holm(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The same, with p corrected for their number by Holm's method (1979)."""
    ranked = sorted(range(len(comparisons)), key=lambda place: comparisons[place].p)
    corrected, highest = [0.0] * len(comparisons), 0.0
    for rank, place in enumerate(ranked):
        highest = max(highest, min(1.0, (len(comparisons) - rank) * comparisons[place].p))
        corrected[place] = highest
    return [replace(each, p_holm=p) for each, p in zip(comparisons, corrected, strict=True)]


def _exact(better: int, worse: int) -> float:
    """The exact test of McNemar (1947): whether the pairs that tell the two apart fall to either alike."""
    if not better + worse:
        return 1.0
    from scipy.stats import binomtest

    return float(binomtest(better, better + worse).pvalue)


def _rounded(p: float) -> float:
    """To four significant digits."""
    return float(f"{p:.4g}")
