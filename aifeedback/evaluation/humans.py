"""How far people agree with each other: the ceiling for anything that is to agree with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from aifeedback.evaluation.figures import Said, Votes
from aifeedback.evaluation.resampling import Statistic, bootstrap
from aifeedback.evaluation.statistics import fleiss_kappa, mean_of, pairwise_agreement
from aifeedback.measures import Interval

_PLACE = {"a": 0, "b": 1, "tie": 2}


def humans(votes: Counter[Votes], *, seed: int = 0) -> dict[str, object] | None:
    """Pairwise agreement and Fleiss' kappa over pairs with two votes or more; None without any."""
    patterns = _canonical({each: count for each, count in votes.items() if sum(each) > 1})
    if not patterns:
        return None
    rows, counts = np.array(list(patterns), dtype=np.float64), list(patterns.values())
    n = sum(counts)
    return {
        "n": n,
        "mean_votes": round(sum(sum(each) * count for each, count in patterns.items()) / n, 6),
        **_figure("pairwise_agreement", pairwise_agreement, rows, counts, seed),
        **_figure("fleiss_kappa", fleiss_kappa, rows, counts, seed),
    }


def agreement_with_votes(heard: Counter[tuple[Votes, Said]], *, seed: int = 0) -> dict[str, object]:
    """How often the single voices say what the label says, and how far that is from how often they agree among themselves.

    Each pair counts the same; a pair without a label or a tie agrees with nobody.
    """
    if not heard:
        return {
            "votes_agreement": None,
            "votes_agreement_ci": None,
            "votes_agreement_minus_humans": None,
            "votes_agreement_minus_humans_ci": None,
        }
    cells = sorted((_said_share(votes, word), _pair_agreement(votes), count) for (votes, word), count in heard.items())
    counts = [count for _, _, count in cells]
    own = np.array([share for share, _, _ in cells])
    ahead = own - np.array([among for _, among, _ in cells])
    return {
        **_mean("votes_agreement", own, counts, seed),
        **_mean("votes_agreement_minus_humans", ahead, counts, seed),
    }


def _said_share(votes: Votes, word: Said) -> float:
    return 0.0 if word == "none" else votes[_PLACE[word]] / sum(votes)


def _pair_agreement(votes: Votes) -> float:
    voters = sum(votes)
    return sum(vote * (vote - 1) for vote in votes) / (voters * (voters - 1))


def _canonical(votes: dict[Votes, int]) -> dict[Votes, int]:
    """The same counts in an order that does not change when a and b are exchanged everywhere."""
    there = sorted(votes.items())
    mirrored = sorted(((b, a, tie), count) for (a, b, tie), count in votes.items())
    return dict(min(there, mirrored))


def _figure(
    name: str,
    make: Callable[[NDArray[np.float64]], Statistic],
    rows: NDArray[np.float64],
    counts: list[int],
    seed: int,
) -> dict[str, object]:
    statistic = make(rows)
    value = float(statistic(np.array([counts], dtype=np.float64))[0])
    interval: Interval | None = bootstrap(counts, statistic, seed=seed)
    return {name: None if np.isnan(value) else round(value, 6), f"{name}_ci": interval}


def _mean(name: str, values: NDArray[np.float64], counts: list[int], seed: int) -> dict[str, object]:
    return _figure(name, mean_of, values, counts, seed)
