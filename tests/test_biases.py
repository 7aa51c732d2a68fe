"""Planted biases are found and named, each by itself; a critic without any is never accused."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from aifeedback.biases import ENOUGH_GOLD, Bias, find_biases
from aifeedback.measures import ClusteredRate
from aifeedback.reconcile import reconcile
from aifeedback.records import PA, Order, Pair, PFirst, Status, Verdict, as_p_a
from aifeedback.settings import ReconcileSettings
from aifeedback.summary import Share, Tally

SEEDS = range(20)
CRITIC = "openai/gpt-5-mini"
SETTINGS = ReconcileSettings()
Judge = Callable[[random.Random, Pair], tuple[float, float]]
"""P(a) of a critic about a pair, in the orders ab and ba."""


def some_pair(dice: random.Random, gold: float | None) -> Pair:
    """A pair in which length, family and gold have nothing to do with each other, but for gold's wish for the longer."""
    a_longer, a_own = dice.random() < 0.5, dice.random() < 0.5
    models = ("gpt-4o", "claude-3") if a_own else ("claude-3", "gpt-4o")
    people = "" if gold is None else "a" if (dice.random() < gold) == a_longer else "b"
    return Pair("1", "q", "xx" if a_longer else "x", "y" if a_longer else "yy", gold=people, model_a=models[0], model_b=models[1])  # type: ignore[arg-type]  # fmt: skip


def labelled(judge: Judge, seed: int, pairs: int = 1000, gold: float | None = None) -> Tally:
    dice = random.Random(seed)
    tally = Tally(CRITIC)
    for _ in range(pairs):
        pair = some_pair(dice, gold)
        said = zip(Order, judge(dice, pair), strict=True)
        tally.add(reconcile(pair, [Verdict("c", order, 0, PA(p_a)) for order, p_a in said], SETTINGS))
    return tally


def a_longer(pair: Pair) -> bool:
    return len(str(pair.response_a)) > len(str(pair.response_b))


def by_place(share: float) -> Judge:
    """The first shown wins so often, drawn for each verdict."""

    def judge(dice: random.Random, _: Pair) -> tuple[float, float]:
        ab, ba = (as_p_a(PFirst(float(dice.random() < share)), order) for order in Order)
        return ab, ba

    return judge


def once_a_pair(share: float, favours_a: Callable[[Pair], bool]) -> Judge:
    """What is favoured wins so often, drawn once a pair: both orders say the same."""

    def judge(dice: random.Random, pair: Pair) -> tuple[float, float]:
        a_wins = float((dice.random() < share) == favours_a(pair))
        return a_wins, a_wins

    return judge


def by_gold(share: float) -> Judge:
    return once_a_pair(share, lambda pair: pair.gold == "a")


@dataclass(frozen=True)
class Planted:
    name: str
    judge: Judge
    truth: float
    rate: Callable[[Tally], Share | ClusteredRate]


PLANTED = [
    Planted("position", by_place(0.6), 0.6, lambda tally: tally.first_shown),
    Planted("position", by_place(0.4), 0.4, lambda tally: tally.first_shown),
    Planted("length", once_a_pair(0.7, a_longer), 0.7, lambda tally: tally.longer),
    Planted("length", once_a_pair(0.3, a_longer), 0.3, lambda tally: tally.longer),
    Planted("own_family", once_a_pair(0.65, lambda pair: pair.model_a == "gpt-4o"), 0.65, lambda tally: tally.same_family),
]  # fmt: skip


@pytest.mark.parametrize("gold", [None, 0.5], ids=["without gold", "with gold"])
@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: f"{planted.name} {planted.truth}")
def test_a_planted_bias_is_found_and_named_and_no_other(planted: Planted, gold: float | None) -> None:
    held = 0
    for seed in SEEDS:
        tally = labelled(planted.judge, seed, gold=gold)
        (found,) = find_biases(tally)
        assert found.name == planted.name
        assert planted.name.replace("_", " ") in found.text
        low, high = found.interval
        assert low <= found.rate <= high
        assert found.rate == pytest.approx(planted.rate(tally).rate, abs=5e-7)
        held += low <= planted.truth <= high
    assert held >= 16


HONEST: Sequence[tuple[str, Judge, Sequence[float | None]]] = [
    ("a coin for each verdict", by_place(0.5), [None, 0.7]),
    ("a coin for each pair", once_a_pair(0.5, lambda _: True), [None, 0.7]),
    ("follows people", by_gold(1.0), [0.7]),
    ("follows people, with noise", by_gold(0.8), [0.3, 0.5, 0.7]),
]


@pytest.mark.parametrize(
    ("judge", "gold"),
    [
        pytest.param(judge, gold, id=f"{name}, gold {'none' if gold is None else gold}")
        for name, judge, golds in HONEST
        for gold in golds
    ],
)
def test_a_critic_without_bias_is_never_accused(judge: Judge, gold: float | None) -> None:
    for seed in SEEDS:
        assert find_biases(labelled(judge, seed, gold=gold)) == []


@pytest.mark.parametrize("gold", [0.3, 0.5, 0.7])
@pytest.mark.parametrize("right", [0.5, 0.6, 0.8, 0.95, 1.0])
def test_errors_that_have_nothing_to_do_with_length_are_hardly_ever_called_a_bias(right: float, gold: float) -> None:
    wrong = 1 - right
    for n in (100, 1000):
        drawn = np.random.default_rng(n).multinomial(
            n, [right * gold, wrong * (1 - gold), wrong * gold, right * (1 - gold)], size=400
        )
        accused = sum(
            bool(find_biases(tally(longer=(beside[0] + beside[1], n), beside=beside))) for beside in drawn.tolist()
        )
        assert accused <= 3


def tally(
    shown: Sequence[tuple[int, int]] = (), longer: tuple[int, int] = (0, 0), beside: Sequence[int] = (0, 0, 0, 0)
) -> Tally:
    counted = Tally(CRITIC, longer=Share(*longer), longer_beside_gold=list(beside))
    for hits, n in shown:
        counted.first_shown.add(hits, n)
    return counted


def only(counted: Tally) -> Bias | None:
    found = find_biases(counted)
    assert len(found) < 2
    return found[0] if found else None


def test_golds_own_share_is_the_fair_value_and_what_lies_between_it_and_a_half_is_noise() -> None:
    # 70% of gold's winners are the longer ones
    assert only(tally(longer=(700, 1000), beside=(700, 0, 0, 300))) is None
    assert only(tally(longer=(600, 1000), beside=(500, 100, 200, 200))) is None
    assert only(tally(longer=(500, 1000), beside=(350, 150, 350, 150))) is None
    above, below = (
        only(tally(longer=(800, 1000), beside=(680, 120, 20, 180))),
        only(tally(longer=(300, 1000), beside=(250, 50, 450, 250))),
    )
    assert above is not None
    assert (above.rate, above.fair, above.n) == (0.8, 0.7, 1000)
    assert "80.0% of the labels are for the longer response, where gold's own share is 70.0%" in above.text
    assert below is not None
    assert (below.rate, below.fair) == (0.3, 0.5)
    assert "70.0% of the labels are for the shorter response, where 50% is fair" in below.text


def test_what_is_not_known_of_golds_share_counts() -> None:
    share = tally(longer=(40, 50), beside=(30, 10, 1, 9))
    assert only(share) is None, "9 of 50 pairs more than gold can be chance"
    assert only(tally(longer=(400, 500), beside=(300, 100, 10, 90))) is not None


def test_a_little_gold_is_not_enough_to_say_what_is_fair() -> None:
    few = [0, ENOUGH_GOLD - 1, 0, 0]
    without = only(tally(longer=(800, 1000), beside=few))
    assert without is not None
    assert (without.fair, without.n) == (0.5, 1000)
    assert "More pairs with gold would tell" in without.text


@pytest.mark.parametrize(("hits", "found"), [(54_999, False), (55_000, True), (45_000, True), (45_001, False)])
def test_an_effect_of_less_than_five_points_is_none_however_sure_it_is(hits: int, found: bool) -> None:
    assert (only(tally(longer=(hits, 100_000))) is not None) is found


@pytest.mark.parametrize(("hits", "found"), [(9, False), (10, False), (11, True)])
def test_a_few_pairs_prove_little(hits: int, found: bool) -> None:
    assert (only(tally(longer=(hits, hits))) is not None) is found


def test_a_single_order_can_not_tell_place_from_response() -> None:
    """All a's may well be the better ones."""
    counted = Tally(CRITIC)
    missing = Verdict("c", Order.BA, 0, None, status=Status.FAILED)
    for _ in range(200):
        said = Verdict("c", Order.AB, 0, PA(1.0))
        counted.add(reconcile(Pair("1", "q", "x", "y"), [said], SETTINGS))
        counted.add(reconcile(Pair("1", "q", "x", "y"), [said, missing], SETTINGS))
    assert counted.first_shown.rate == 1.0
    assert find_biases(counted) == []


def test_a_finding_stands_in_the_summary_with_its_figures() -> None:
    found = only(tally([(2, 2)] * 60 + [(1, 2)] * 40))
    assert found is not None
    record = found.record()
    assert list(record) == ["name", "rate", "interval", "fair", "n", "text"]
    assert (record["name"], record["rate"], record["fair"], record["n"]) == ("position", 0.8, 0.5, 100)
    assert found.apart[0] > 0
    assert found.text.startswith("position bias: 80.0% of the decided verdicts are for the response shown first, where 50% is fair (95% interval ")  # fmt: skip
    assert "\n" not in found.text


def test_nothing_is_found_in_nothing() -> None:
    assert find_biases(Tally(CRITIC)) == []
