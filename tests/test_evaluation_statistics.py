"""Each figure of `evaluate` against a library's or a calculation by hand, on random data."""

from __future__ import annotations

import math
from collections import Counter
from importlib.util import module_from_spec, spec_from_file_location

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import cohen_kappa_score, f1_score
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.inter_rater import fleiss_kappa as statsmodels_fleiss
from statsmodels.stats.multitest import multipletests

from aifeedback.errors import SettingsError
from aifeedback.evaluation.comparing import compare, with_holm
from aifeedback.evaluation.figures import Credit
from aifeedback.evaluation.humans import agreement_with_votes, humans
from aifeedback.evaluation.planning import accuracy_width, difference_width, kappa_width, needed, plan, plan_text
from aifeedback.evaluation.resampling import bootstrap, bootstrap_mean
from aifeedback.evaluation.statistics import fleiss_kappa, kappa, macro_f1, pairwise_agreement
from aifeedback.measures import wilson
from tests.conftest import ROOT

CLASSES, KINDS = ["a", "b", "tie"], ["a", "b", "tie", "none"]
answers = st.lists(st.tuples(st.sampled_from(CLASSES), st.sampled_from(KINDS)), min_size=1, max_size=60)
votes = st.lists(st.tuples(*[st.integers(0, 4)] * 3).filter(lambda each: sum(each) > 1), min_size=1, max_size=40)
quick = settings(max_examples=40, deadline=None)


def table(said: list[tuple[str, str]]) -> np.ndarray:
    """The counts of (gold, said), a row as the statistics take them."""
    counted = Counter(said)
    return np.array([[float(counted[gold, kind]) for gold in CLASSES for kind in KINDS]])


@quick
@given(answers)
def test_kappa_and_macro_f1_are_scikit_learns(said: list[tuple[str, str]]):
    gold, guess = zip(*said, strict=True)
    with np.errstate(invalid="ignore"):
        found = kappa(3, 4)(table(said))[0]
    if len({*gold, *guess}) > 1:
        assert found == pytest.approx(cohen_kappa_score(gold, guess, labels=KINDS))
    else:
        assert math.isnan(found)
    theirs = f1_score(gold, guess, labels=CLASSES, average="macro", zero_division=0)
    assert macro_f1(3, 4)(table(said))[0] == pytest.approx(theirs)


@quick
@given(st.integers(2, 6), st.data())
def test_fleiss_kappa_is_statsmodels_where_all_pairs_have_as_many_votes(voters: int, data: st.DataObject):
    said = st.lists(st.sampled_from(range(3)), min_size=voters, max_size=voters)
    drawn = data.draw(st.lists(said, min_size=2, max_size=30))
    rows = np.array([[float(each.count(kind)) for kind in range(3)] for each in drawn])
    ones = np.ones((1, len(rows)))
    found = fleiss_kappa(rows)(ones)[0]
    if len({kind for each in drawn for kind in each}) == 1:
        assert math.isnan(found)
    else:
        assert found == pytest.approx(statsmodels_fleiss(rows))
    agreeing = [sum(x == y for n, x in enumerate(each) for y in each[:n]) / math.comb(voters, 2) for each in drawn]
    assert pairwise_agreement(rows)(ones)[0] == pytest.approx(np.mean(agreeing))


@quick
@given(votes)
def test_people_agree_as_far_whichever_response_is_called_a(said: list[tuple[int, int, int]]):
    found = humans(Counter(said))
    assert found is not None
    assert found == humans(Counter((b, a, tie) for a, b, tie in said))
    assert found["n"] == len(said)
    low, high = found["pairwise_agreement_ci"]  # type: ignore[misc]
    assert 0 <= low <= found["pairwise_agreement"] + 1e-6 <= high + 2e-6 <= 1 + 3e-6  # type: ignore[operator]


def test_the_agreement_of_people_is_the_hand_made_one():
    """Two pairs with three votes, one with two, one single vote that agrees with nobody and is left out."""
    found = humans(Counter({(3, 0, 0): 1, (1, 2, 0): 1, (0, 1, 1): 1, (1, 0, 0): 5}))
    assert found is not None
    # (1 + 1/3 + 0) / 3; shares a (1 + 1/3 + 0) / 3, b (0 + 2/3 + 1/2) / 3, tie (1/2) / 3
    observed, expected = 4 / 9, (4 / 9) ** 2 + (7 / 18) ** 2 + (1 / 6) ** 2
    assert found["pairwise_agreement"] == pytest.approx(observed, abs=1e-6)
    assert found["fleiss_kappa"] == pytest.approx((observed - expected) / (1 - expected), abs=1e-6)
    assert found["mean_votes"] == pytest.approx(8 / 3, abs=1e-6)
    assert humans(Counter({(1, 0, 0): 5})) is None


def test_a_label_agrees_with_each_vote_that_says_the_same_and_no_label_with_none():
    found = agreement_with_votes(Counter({((2, 1, 0), "a"): 3, ((0, 0, 2), "none"): 1}))
    assert found["votes_agreement"] == pytest.approx((3 * 2 / 3 + 0) / 4)
    assert found["votes_agreement_minus_humans"] == pytest.approx((3 * (2 / 3 - 1 / 3) + (0 - 1)) / 4, abs=1e-6)
    assert agreement_with_votes(Counter())["votes_agreement_ci"] is None


@quick
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=80))
def test_two_critics_are_compared_by_mcnemars_exact_test(right: list[tuple[bool, bool]]):
    found = compare("x", "y", Counter((2 * one, 2 * other) for one, other in right))
    assert found is not None
    cells = Counter(right)
    both = [[cells[True, True], cells[True, False]], [cells[False, True], cells[False, False]]]
    assert found.p == pytest.approx(min(1.0, mcnemar(both, exact=True).pvalue))
    if found.first_better + found.second_better:
        assert found.p == pytest.approx(binomtest(cells[True, False], cells[True, False] + cells[False, True]).pvalue)
    assert (found.first_better, found.second_better) == (cells[True, False], cells[False, True])
    assert found.difference == pytest.approx(np.mean([one - other for one, other in np.array(right, float)]), abs=1e-6)
    assert found.interval[0] <= found.difference + 1e-6
    assert found.difference - 1e-6 <= found.interval[1]
    mirrored = compare("y", "x", Counter((2 * other, 2 * one) for one, other in right))
    assert mirrored is not None
    assert mirrored.interval == pytest.approx((-found.interval[1], -found.interval[0]), abs=2e-6)


def test_a_rule_that_is_half_right_where_it_can_not_choose_lies_between():
    found = compare("x", "longer", Counter({(2, 1): 10, (0, 1): 10, (2, 2): 60, (0, 0): 20}))
    assert found is not None
    assert (found.accuracy_first, found.accuracy_second) == (0.7, 0.7)
    assert (found.first_better, found.second_better, found.p) == (0, 0, 1.0)  # what can't choose tells nothing apart
    assert compare("x", "y", Counter()) is None


@settings(max_examples=6, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=8))
def test_several_comparisons_are_corrected_as_holm_does(discordant: list[tuple[int, int]]):
    made = [compare(str(n), "y", Counter({(2, 0): x, (0, 2): y, (2, 2): 1})) for n, (x, y) in enumerate(discordant)]
    found = with_holm([each for each in made if each is not None])
    theirs = multipletests([each.p for each in found], method="holm")[1]
    assert [each.p_holm for each in found] == pytest.approx(list(theirs))


@given(st.integers(1, 10**6).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilsons_interval_is_scipys(rate: tuple[int, int]):
    hits, n = rate
    theirs = binomtest(hits, n).proportion_ci(method="wilson")
    assert wilson(hits, n) == pytest.approx((theirs.low, theirs.high), abs=1e-6)


def test_a_credit_counts_halves():
    credit = Credit()
    for earned in (2, 1, 0, 0):
        credit.add(earned)
    assert credit.rate == 0.375
    assert credit.interval == wilson(1.5, 4)


def test_an_interval_by_bootstrap_is_near_the_one_of_theory_and_the_same_each_time():
    cells = [400, 100, 100, 400]  # kappa 0.6, whose standard error for large n is 2 sqrt(0.8 0.2 / n)
    low, high = bootstrap(cells, kappa(2, 2)) or (0.0, 0.0)
    assert (low, high) == bootstrap(cells, kappa(2, 2))
    assert high - low == pytest.approx(kappa_width(1000, 0.8), rel=0.08)
    plain = bootstrap(cells, kappa(2, 2), bca=False) or (0.0, 0.0)
    assert plain == pytest.approx((low, high), abs=0.01)


def test_a_mean_of_many_values_is_drawn_one_by_one_with_the_same_result():
    values = [float(each) for each in np.random.default_rng(0).random(2500)]
    low, high = bootstrap_mean(values, [1] * 2500, draws=1000) or (0.0, 0.0)
    half = 1.96 * np.std(values) / 50
    assert (low, high) == pytest.approx((np.mean(values) - half, np.mean(values) + half), abs=0.1 * half)
    few = bootstrap_mean([0.0, 1.0], [500, 500]) or (0.0, 0.0)
    assert few == pytest.approx((0.5 - 0.031, 0.5 + 0.031), abs=0.004)
    assert bootstrap_mean([], []) is None
    assert bootstrap_mean([0.25], [9]) == (0.25, 0.25)


@pytest.mark.parametrize("figure", ["kappa", "three_way.macro_f1", "fleiss_kappa", "calibration.brier", "difference"])
def test_an_interval_holds_the_truth_about_as_often_as_it_says(figure: str):
    """80 experiments of what benchmarks/coverage.py does 2 000 times: what is badly wrong shows in as many, too."""
    script = spec_from_file_location("coverage_script", ROOT / "benchmarks" / "coverage.py")
    assert script is not None
    assert script.loader is not None
    simulated = module_from_spec(script)
    script.loader.exec_module(simulated)
    truth, experiment = next((truth, run) for name, _, truth, run in simulated.lines() if name.startswith(figure))
    assert 0.87 <= simulated.covered(truth, experiment, n=200, experiments=80, seed=3) < 1


def test_where_a_figure_does_not_exist_it_has_no_interval():
    assert bootstrap([5, 0, 0, 0], kappa(2, 2)) is None
    assert bootstrap([0, 0, 0, 0], kappa(2, 2)) is None


@pytest.mark.parametrize("width", [0.02, 0.1, 0.25])
@pytest.mark.parametrize("rate", [0.6, 0.8, 0.95])
def test_the_planned_number_is_the_smallest_that_is_enough(width: float, rate: float):
    for of in (
        lambda n: accuracy_width(n, rate),
        lambda n: kappa_width(n, rate),
        lambda n: difference_width(n, rate, 0.5),
    ):
        n = needed(width, of)
        assert of(n) <= width < of(n - 1)


def test_a_plan_is_that_of_wilsons_interval():
    (need,) = [each for each in plan(0.1, 0.8) if each.rate == 0.8]
    low, high = wilson(round(0.8 * need.accuracy), need.accuracy) or (0.0, 1.0)
    assert high - low == pytest.approx(0.1, abs=0.001)
    assert need.accuracy == 245
    text = plan_text(0.1, 0.8, 100)
    assert "<- expected" in text
    assert "The 100 of the input, at an accuracy of 0.8, give 15.5 points for accuracy" in text
    assert "no pair whose gold" in plan_text(0.1, 0.8, 0)


@pytest.mark.parametrize(("width", "expect"), [(0.0, 0.8), (1.0, 0.8), (0.1, 0.0), (0.1, 1.0), (1e-9, 0.8)])
def test_a_width_or_a_rate_that_is_none_is_refused(width: float, expect: float):
    with pytest.raises(SettingsError):
        plan(width, expect)
