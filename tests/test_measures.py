"""Rates and intervals against known figures, and against what simulated critics really are."""

from __future__ import annotations

import math
import random
import tracemalloc
from collections.abc import Callable
from fractions import Fraction
from statistics import fmean, variance

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aifeedback.measures import ClusteredRate, _binomial, kappa, kappa_interval, paired_difference, wilson

AGREE = (20, 5, 10, 15)


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [
        # Newcombe 1998 (Statistics in Medicine 17, 857-872), table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
        # By hand: with z = 1.96, 5/10 is 0.5 ± z/(2 √(n + z²)), 0/10 is 0 to z²/(n + z²).
        (5, 10, 0.2366, 0.7634),
        (0, 10, 0.0000, 0.2775),
        (10, 10, 0.7225, 1.0000),
        (1, 1, 0.2065, 1.0000),
    ],
)
def test_wilsons_interval_is_that_of_the_textbooks(hits: int, n: int, low: float, high: float):
    assert wilson(hits, n) == pytest.approx((low, high), abs=5e-5)


def test_no_pair_has_no_interval():
    assert wilson(0, 0) is None


@given(st.integers(1, 10**6).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_an_interval_holds_its_rate_and_mirrors_with_it(rate: tuple[int, int]):
    hits, n = rate
    low, high = wilson(hits, n) or (1.0, 0.0)
    assert 0 <= low <= hits / n + 5e-7
    assert hits / n - 5e-7 <= high <= 1
    assert wilson(n - hits, n) == pytest.approx((1 - high, 1 - low), abs=2e-6)


@pytest.mark.parametrize(
    ("confusion", "expected"),
    [
        # Two readers of fifty grant applications agree on 35 of them, by chance on 25: (0.7 - 0.5) / (1 - 0.5).
        (AGREE, 0.4),
        ((45, 15, 25, 15), 0.1304),
        ((25, 35, 5, 35), 0.2593),
        ((10, 0, 0, 10), 1.0),
        ((0, 10, 10, 0), -1.0),
        ((5, 5, 5, 5), 0.0),
        ((7, 3, 0, 0), 0.0),
    ],
)
def test_kappa_is_that_of_the_hand_made_tables(confusion: tuple[int, int, int, int], expected: float):
    assert kappa(confusion) == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize("confusion", [(0, 0, 0, 0), (9, 0, 0, 0), (0, 0, 0, 9)])
def test_where_chance_alone_agrees_there_is_no_kappa(confusion: tuple[int, int, int, int]):
    assert kappa(confusion) is None
    assert kappa_interval(confusion) is None


@given(st.tuples(*[st.integers(0, 10**6)] * 4))
def test_kappa_does_not_change_when_the_classes_or_the_raters_are_exchanged(confusion: tuple[int, int, int, int]):
    aa, ab, ba, bb = confusion
    value = kappa(confusion)
    assert kappa((bb, ba, ab, aa)) == pytest.approx(value)
    assert kappa((aa, ba, ab, bb)) == pytest.approx(value)
    assert value is None or -1 - 1e-9 <= value <= 1 + 1e-9


def kappa_error(confusion: tuple[int, int, int, int]) -> float:
    """The standard error of kappa for large n (Fleiss, Cohen & Everitt 1969)."""
    n = sum(confusion)
    table = [[confusion[0] / n, confusion[1] / n], [confusion[2] / n, confusion[3] / n]]
    row, column = [sum(r) for r in table], [sum(c) for c in zip(*table, strict=True)]
    observed, expected = table[0][0] + table[1][1], sum(r * c for r, c in zip(row, column, strict=True))
    k = (observed - expected) / (1 - expected)
    on = sum(table[i][i] * (1 - (row[i] + column[i]) * (1 - k)) ** 2 for i in range(2))
    off = (1 - k) ** 2 * sum(table[i][j] * (column[i] + row[j]) ** 2 for i in range(2) for j in range(2) if i != j)
    return math.sqrt((on + off - (k - expected * (1 - k)) ** 2) / n) / (1 - expected)


@pytest.mark.parametrize("scale", [4, 40, 4000], ids=["n=200", "n=2000", "n=200000"])
@pytest.mark.parametrize("table", [AGREE, (30, 3, 2, 15), (44, 2, 2, 2)], ids=str)
def test_kappas_interval_is_as_wide_as_theory_says(table: tuple[int, int, int, int], scale: int):
    confusion = tuple(count * scale for count in table)
    value, (low, high) = kappa(confusion), kappa_interval(confusion) or (0.0, 0.0)
    assert value is not None
    assert low < value < high
    assert high - low == pytest.approx(2 * 1.96 * kappa_error(confusion), rel=0.15)  # type: ignore[arg-type]


def test_kappas_interval_is_the_same_each_time():
    assert kappa_interval(AGREE) == kappa_interval(AGREE)
    assert kappa_interval(AGREE, seed=1) != kappa_interval(AGREE, seed=2)


@pytest.mark.parametrize(
    ("confusion", "interval"), [((6, 0, 0, 6), (1.0, 1.0)), ((1, 0, 0, 1), (1.0, 1.0)), ((7, 3, 0, 0), (0.0, 0.0))]
)
def test_kappas_interval_has_no_width_where_every_resample_says_the_same(
    confusion: tuple[int, int, int, int], interval: tuple[float, float]
):
    assert kappa_interval(confusion) == interval


def test_kappas_interval_takes_no_memory_that_grows_with_the_pairs():
    tracemalloc.start()
    try:
        kappa_interval(tuple(count * 40_000 for count in AGREE))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 500_000


@pytest.mark.parametrize(
    ("n", "p"),
    [(20, 0.3), (20, 0.7), (100, 0.5), (1000, 0.01), (1000, 0.5), (1000, 0.93), (200_000, 0.0001), (200_000, 0.6)],
)
def test_draws_are_binomial(n: int, p: float):
    generator = random.Random(5)
    draws = [_binomial(n, p, generator) for _ in range(1500)]
    error = math.sqrt(n * p * (1 - p) / len(draws))
    assert min(draws) >= 0
    assert max(draws) <= n
    assert fmean(draws) == pytest.approx(n * p, abs=4 * error)
    assert variance(draws) == pytest.approx(n * p * (1 - p), rel=0.2)


@pytest.mark.parametrize(("p", "hits"), [(0.0, 0), (1.0, 12)])
def test_what_never_or_always_happens_is_not_left_to_chance(p: float, hits: int):
    assert _binomial(12, p, random.Random(0)) == hits


def rate_of(pairs: list[tuple[int, int]]) -> ClusteredRate:
    rate = ClusteredRate()
    for hits, n in pairs:
        rate.add(hits, n)
    return rate


def test_without_a_decided_verdict_there_is_no_rate():
    rate = rate_of([(0, 0), (0, 0)])
    assert (rate.rate, rate.interval(), rate.clusters) == (None, None, 0)


def test_a_critic_that_always_names_the_first_shown_has_rate_one_and_an_interval_over_its_pairs():
    rate = rate_of([(2, 2)] * 50)
    assert rate.rate == 1.0
    assert rate.interval() == wilson(50, 50)
    assert rate_of([(0, 2)] * 50).interval() == wilson(0, 50)


def test_a_critic_that_is_fair_in_both_orders_leaves_hardly_any_doubt():
    rate = rate_of([(1, 2)] * 1000)
    assert rate.rate == 0.5
    low, high = rate.interval() or (0.0, 1.0)
    assert low <= 0.5 <= high
    assert high - low < 0.002


def test_a_single_pair_says_next_to_nothing():
    low, high = rate_of([(1, 2)]).interval() or (0.0, 0.0)
    assert low == pytest.approx(1 - high)
    assert high - low > 0.8
    assert rate_of([(2, 2)]).interval() == wilson(1, 1)


def test_pairs_asked_once_have_wilsons_interval():
    low, high = rate_of([(1, 1)] * 300 + [(0, 1)] * 200).interval() or (0.0, 0.0)
    assert (low, high) == pytest.approx(wilson(300, 500), abs=2e-4)


@given(st.lists(st.integers(1, 12).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), min_size=1))
def test_the_interval_holds_the_rate_whatever_the_pairs(pairs: list[tuple[int, int]]):
    rate = rate_of(pairs)
    low, high = rate.interval() or (1.0, 0.0)
    assert rate.rate == pytest.approx(float(Fraction(sum(h for h, _ in pairs), sum(n for _, n in pairs))))
    assert 0 <= low <= rate.rate + 5e-7
    assert rate.rate - 5e-7 <= high <= 1


def independent(dice: random.Random) -> tuple[int, int]:
    """Both orders by the same coin, thrown anew: 60% for the first shown."""
    return (dice.random() < 0.6) + (dice.random() < 0.6), 2


def biased(dice: random.Random) -> tuple[int, int]:
    """In a fifth of the pairs the first shown twice, else fair: 60% for the first shown."""
    return 2 if dice.random() < 0.2 else 1, 2


def alternating(dice: random.Random) -> tuple[int, int]:
    """The two orders always name the same place: the pairs count, not the verdicts."""
    return 2 if dice.random() < 0.6 else 0, 2


def half_asked(dice: random.Random) -> tuple[int, int]:
    """Some pairs have one decided verdict only."""
    n = dice.choice((1, 2))
    return sum(dice.random() < 0.6 for _ in range(n)), n


@pytest.mark.parametrize("critic", [independent, biased, alternating, half_asked], ids=lambda critic: critic.__name__)
def test_in_simulations_the_interval_holds_the_truth_as_often_as_it_claims(
    critic: Callable[[random.Random], tuple[int, int]],
):
    dice = random.Random(11)
    experiments = 400
    held = 0
    for _ in range(experiments):
        low, high = rate_of([critic(dice) for _ in range(80)]).interval() or (1.0, 0.0)
        held += low <= 0.6 <= high
    assert 0.91 <= held / experiments <= 0.985


# What a pair's verdicts amount to, (first shown, decided), and how often, for a rate of p.
OUTCOMES = ((0, 2), (1, 2), (2, 2), (0, 1), (1, 1))
CRITICS: dict[str, Callable[[float], list[float]]] = {
    "a coin for each verdict": lambda p: [(1 - p) ** 2, 2 * p * (1 - p), p * p, 0, 0],
    "the same place in both orders": lambda p: [1 - p, 0, p, 0, 0],
    "the same response, in some pairs the same place": lambda p: [max(1 - 2 * p, 0), 1 - abs(2 * p - 1), max(2 * p - 1, 0), 0, 0],
    "half of either": lambda p: [(1 - p) * (2 - p) / 2, p * (1 - p), p * (1 + p) / 2, 0, 0],
    "a coin, and ties": lambda p: [(1 - p) ** 2 / 2, p * (1 - p), p * p / 2, (1 - p) / 2, p / 2],
    "the same place, and ties": lambda p: [0.7 * (1 - p), 0, 0.7 * p, 0.3 * (1 - p), 0.3 * p],
}  # fmt: skip


@pytest.mark.parametrize("n", [200, 1000])
@pytest.mark.parametrize("critic", CRITICS)
def test_the_clustered_interval_covers_what_it_claims_however_a_pairs_verdicts_hang_together(critic: str, n: int):
    dice = np.random.default_rng(n)
    for p in (0.1, 0.3, 0.45, 0.6, 0.9):
        drawn = dice.multinomial(n, CRITICS[critic](p), size=400)
        hits, asked = np.array(OUTCOMES).T
        sums = np.stack(
            [drawn @ each for each in (asked > 0, hits, asked, hits * hits, asked * asked, hits * asked)], axis=1
        )
        intervals = [ClusteredRate(*each).interval() or (1.0, 0.0) for each in sums.tolist()]
        covered = fmean(low <= p <= high for low, high in intervals)
        assert 0.92 <= covered <= 0.98, f"{p}: {covered}"  # 95% and three standard errors


@pytest.mark.parametrize("n", [200, 1000])
def test_wilsons_interval_covers_what_it_claims(n: int):
    for p in (0.1, 0.3, 0.5, 0.7, 0.9):
        # No draw is needed: each count has its own probability.
        covers = [low <= p <= high for low, high in (wilson(hits, n) or (1.0, 0.0) for hits in range(n + 1))]
        logs = [math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) for k in range(n + 1)]
        chances = [math.exp(log + k * math.log(p) + (n - k) * math.log1p(-p)) for k, log in enumerate(logs)]
        covered = sum(chance for chance, covered in zip(chances, covers, strict=True) if covered)
        assert 0.93 <= covered <= 0.97, f"{p}: {covered}"


def test_a_stricter_interval_is_wider_and_the_usual_one_stays_as_it_is():
    assert wilson(60, 100, 0.95) == wilson(60, 100)
    # 0.5 ± z/(2 √(n + z²)) with z = 3.290527
    assert wilson(500, 1000, 0.999) == pytest.approx((0.448252, 0.551748), abs=2e-6)
    rate = rate_of([(1, 1)] * 300 + [(0, 1)] * 200)
    assert rate.interval(0.999) == pytest.approx(wilson(300, 500, 0.999), abs=4e-4)


def test_pairs_can_be_taken_out_of_a_rate_again():
    whole, part = rate_of([(1, 2), (2, 2), (0, 1), (3, 4)]), rate_of([(0, 1), (3, 4)])
    assert whole.without(part) == rate_of([(1, 2), (2, 2)])


def test_the_interval_of_a_paired_difference_is_that_of_the_textbook():
    # Newcombe 1998 (Statistics in Medicine 17, 2635-2650): his example of 50 pairs, method 10.
    assert paired_difference(36, 12, 2, 0) == pytest.approx((0.0569, 0.3404), abs=5e-5)
    # By hand: both rates are 0.5 with Wilson's half-width w, and phi is (100 - 20/2) / 100.
    low, high = wilson(10, 20) or (0.0, 0.0)
    half = (high - low) / 2 * math.sqrt(2 - 2 * 0.9)
    assert paired_difference(10, 0, 0, 10) == pytest.approx((-half, half), abs=2e-6)


def test_without_a_pair_there_is_no_difference_to_tell():
    assert paired_difference(0, 0, 0, 0) is None


@given(st.tuples(*[st.integers(0, 10_000)] * 4).filter(any), st.sampled_from([0.95, 0.999]))
def test_a_paired_difference_lies_within_its_interval_and_mirrors_with_it(table: tuple[int, ...], level: float):
    both, first, second, neither = table
    difference = (first - second) / sum(table)
    low, high = paired_difference(*table, level=level) or (1.0, -1.0)
    assert low - 1e-5 <= difference <= high + 1e-5
    assert paired_difference(both, second, first, neither, level) == pytest.approx((-high, -low), abs=1e-5)


@pytest.mark.parametrize("table", [(0.6, 0.2, 0.1, 0.1), (0.3, 0.35, 0.05, 0.3), (0.5, 0.1, 0.1, 0.3)], ids=str)
@pytest.mark.parametrize(("level", "least", "most"), [(0.95, 0.92, 0.98), (0.999, 0.99, 1.0)])
def test_the_interval_of_a_paired_difference_covers_what_it_claims(
    table: tuple[float, ...], level: float, least: float, most: float
):
    drawn = np.random.default_rng(4).multinomial(300, table, size=1000).tolist()
    intervals = [paired_difference(*each, level=level) or (1.0, -1.0) for each in drawn]
    assert least <= fmean(low <= table[1] - table[2] <= high for low, high in intervals) <= most


def test_the_interval_knows_what_two_verdicts_on_one_pair_are_worth():
    dice = random.Random(3)
    widths = {}
    for critic in (biased, independent, alternating):
        low, high = rate_of([critic(dice) for _ in range(2000)]).interval() or (0.0, 0.0)
        widths[critic.__name__] = high - low
    assert widths["biased"] < widths["independent"] < widths["alternating"]
    assert widths["alternating"] / widths["independent"] == pytest.approx(math.sqrt(2), rel=0.05)
