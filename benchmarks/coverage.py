"""How often the 95% intervals of `evaluate` cover the truth in simulated experiments: the table in docs/evaluate.md.

    python benchmarks/coverage.py                   all, 2 000 experiments each (some minutes)
    python benchmarks/coverage.py --experiments 200 --only kappa

Each line draws critics and people from a known population, so that the truth is known, and counts the intervals that
hold it. 93 to 97% is what they have to reach for 200 pairs or more.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from aifeedback.evaluation.comparing import paired_interval
from aifeedback.evaluation.resampling import Statistic, bootstrap, bootstrap_mean
from aifeedback.evaluation.statistics import fleiss_kappa, kappa, macro_f1, pairwise_agreement
from aifeedback.measures import ClusteredRate, Interval, kappa_interval, wilson

Array = NDArray[np.float64]
Experiment = Callable[[np.random.Generator, int], Interval | None]
"""Draws one experiment of so many pairs and gives its interval."""


def two_way(rate: float, gold_a: float) -> Array:
    """A critic that is right in `rate` of either side."""
    return np.array([gold_a * rate, (1 - gold_a) * (1 - rate), gold_a * (1 - rate), (1 - gold_a) * rate])


def three_way(rate: float, ties: float, nothing: float = 0.05) -> Array:
    """Gold's classes by what is said: a critic that is right in `rate`, and says nothing in `nothing` of the pairs."""
    classes = np.array([0.55 * (1 - ties), 0.45 * (1 - ties), ties])
    said = np.full((3, 4), (1 - rate - nothing) / 2)
    said[:, 3] = nothing
    said[range(3), range(3)] = rate
    return np.asarray((classes[:, None] * said).ravel())


def voters(rate: float, ties: float) -> tuple[Array, Array]:
    """Patterns of three votes and how often each comes: voters who see what is there in `rate` of the pairs."""
    patterns: Counter[tuple[int, int, int]] = Counter()
    truth = [0.5 * (1 - ties), 0.5 * (1 - ties), ties]
    for there, weight in enumerate(truth):
        said = [rate if each == there else (1 - rate) / 2 for each in range(3)]
        for one in range(3):
            for two in range(3):
                for three in range(3):
                    cell = [0, 0, 0]
                    for each in (one, two, three):
                        cell[each] += 1
                    patterns[cell[0], cell[1], cell[2]] += weight * said[one] * said[two] * said[three]
    return np.array(list(patterns), dtype=np.float64), np.array(list(patterns.values()))


def by_counts(cells: Array, statistic: Statistic, *, bca: bool = True) -> tuple[float, Experiment]:
    """A figure of a table of counts: its truth and its experiment."""

    def experiment(generator: np.random.Generator, n: int) -> Interval | None:
        seed = int(generator.integers(2**31))
        return bootstrap([int(count) for count in generator.multinomial(n, cells)], statistic, seed=seed, bca=bca)

    return float(statistic(cells[None, :])[0]), experiment


def two_way_kappa(rate: float, gold_a: float) -> tuple[float, Experiment]:
    """The kappa of labelled pairs, whose interval is that of `label`, too."""
    cells = two_way(rate, gold_a)

    def experiment(generator: np.random.Generator, n: int) -> Interval | None:
        counts = [int(count) for count in generator.multinomial(n, cells)]
        return kappa_interval(counts, seed=int(generator.integers(2**31)))

    return float(kappa(2, 2)(cells[None, [0, 2, 1, 3]])[0]), experiment


def brier(strength: float, *, hard: bool) -> tuple[float, Experiment]:
    """Probabilities of the gold side, spread as a beta, or 0, 0.5 and 1."""
    right, wrong = 4 * strength, 4 * (1 - strength)

    def experiment(generator: np.random.Generator, n: int) -> Interval | None:
        if hard:
            said = generator.choice([0.0, 0.5, 1.0], p=[1 - strength, 0.1, strength - 0.1], size=n)
        else:
            said = np.round(generator.beta(right, wrong, size=n), 3)
        values, counts = np.unique((1 - said) ** 2, return_counts=True)
        seed = int(generator.integers(2**31))
        return bootstrap_mean(list(map(float, values)), list(map(int, counts)), seed=seed)

    if hard:
        return 1 - strength + 0.1 * 0.25, experiment
    return (1 - strength) ** 2 + right * wrong / (16 * 5), experiment


def clustered(rate: float, together: float) -> tuple[float, Experiment]:
    """Verdicts of two orders, of which the second repeats the first in a share `together` of the pairs."""

    def experiment(generator: np.random.Generator, n: int) -> Interval | None:
        first = generator.random(n) < rate
        second = np.where(generator.random(n) < together, first, generator.random(n) < rate)
        found = ClusteredRate()
        for hits in first.astype(int) + second:
            found.add(int(hits), 2)
        return found.interval()

    return rate, experiment


def rate_over_pairs(rate: float) -> tuple[float, Experiment]:
    """Wilson's."""
    return rate, lambda generator, n: wilson(int(generator.binomial(n, rate)), n)


def difference(one: float, other: float, together: float) -> tuple[float, Experiment]:
    """Two critics' accuracies on the same pairs; the second errs with the first in a share `together` of the pairs."""

    def experiment(generator: np.random.Generator, n: int) -> Interval | None:
        shared = generator.random(n)
        own = np.where(generator.random(n) < together, shared, generator.random(n))
        return paired_interval(Counter(zip(2 * (shared < one), 2 * (own < other), strict=True)))

    return one - other, experiment


def lines(*, bca: bool = True) -> Iterator[tuple[str, str, float, Experiment]]:
    """What is simulated: the figure, how, the truth and the experiment. `bca`: else by percentiles, where there is a choice."""
    for rate in (0.1, 0.5, 0.8, 0.9):
        yield "rates over pairs", f"rate {rate:g}", *rate_over_pairs(rate)
    for rate in (0.1, 0.5, 0.9):
        for together in (0.0, 0.5, 0.9):
            yield (
                "accuracy_mean, first_shown_rate",
                f"rate {rate:g}, orders alike {together:g}",
                *clustered(rate, together),
            )
    for rate, gold_a in ((0.6, 0.5), (0.8, 0.5), (0.9, 0.5), (0.8, 0.7), (0.9, 0.8)):
        yield "kappa", f"right {rate:g}, gold a {gold_a:g}", *two_way_kappa(rate, gold_a)
    for rate, ties in ((0.5, 0.1), (0.7, 0.1), (0.85, 0.1), (0.7, 0.3)):
        cells = three_way(rate, ties)
        yield "three_way.kappa", f"right {rate:g}, ties {ties:g}", *by_counts(cells, kappa(3, 4), bca=bca)
        yield "three_way.macro_f1", f"right {rate:g}, ties {ties:g}", *by_counts(cells, macro_f1(3, 4), bca=bca)
    for strength in (0.6, 0.8, 0.9):
        yield "calibration.brier", f"soft, mean {strength:g}", *brier(strength, hard=False)
        yield "calibration.brier", f"hard, right {strength:g}", *brier(strength, hard=True)
    for rate, ties in ((0.7, 0.1), (0.9, 0.1), (0.95, 0.1), (0.9, 0.3)):
        rows, cells = voters(rate, ties)
        yield "fleiss_kappa", f"voters right {rate:g}, ties {ties:g}", *by_counts(cells, fleiss_kappa(rows), bca=bca)
        yield (
            "pairwise_agreement",
            f"voters right {rate:g}, ties {ties:g}",
            *by_counts(cells, pairwise_agreement(rows), bca=bca),
        )
    for one, other, together in ((0.8, 0.8, 0.0), (0.8, 0.7, 0.0), (0.8, 0.7, 0.8), (0.9, 0.9, 0.5), (0.9, 0.6, 0.9)):
        yield (
            "difference of two critics",
            f"{one:g} and {other:g}, alike {together:g}",
            *difference(one, other, together),
        )


def covered(truth: float, experiment: Experiment, *, n: int, experiments: int, seed: int) -> float:
    """The share of intervals that hold the truth."""
    generator = np.random.default_rng(seed)
    hits = 0
    for _ in range(experiments):
        interval = experiment(generator, n)
        # Both ends are rounded to six digits.
        hits += interval is not None and interval[0] - 1e-6 <= truth <= interval[1] + 1e-6
    return hits / experiments


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiments", type=int, default=2000)
    parser.add_argument("--only", default="", help="figures whose name begins so")
    parser.add_argument("--pairs", type=int, nargs="*", default=[200, 1000])
    parser.add_argument("--percentiles", action="store_true", help="bootstrap intervals by percentiles instead of BCa")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    print(f"| figure | simulated | truth |{''.join(f' n = {n} |' for n in chosen.pairs)}")
    print(f"|---|---|---:|{'---:|' * len(chosen.pairs)}")
    for name, how, truth, experiment in lines(bca=not chosen.percentiles):
        if name.startswith(chosen.only):
            found = (
                covered(truth, experiment, n=n, experiments=chosen.experiments, seed=chosen.seed) for n in chosen.pairs
            )
            print(f"| `{name}` | {how} | {truth:.3f} |{''.join(f' {100 * each:.1f}% |' for each in found)}", flush=True)


if __name__ == "__main__":
    main()
