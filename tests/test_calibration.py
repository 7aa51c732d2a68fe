from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss

from aifeedback.calibration import Calibration
from aifeedback.records import PA

_SAID = st.lists(
    st.tuples(st.integers(0, 1_000_000).map(lambda p: p / 1_000_000), st.booleans()), min_size=1, max_size=60
)


def _folded(said: list[tuple[float, bool]]) -> Calibration:
    found = Calibration()
    for p_a, gold_is_a in said:
        found.add(PA(p_a), gold_is_a=gold_is_a)
    return found


@given(_SAID)
def test_the_brier_score_is_scikit_learns(said: list[tuple[float, bool]]) -> None:
    theirs = brier_score_loss([gold for _, gold in said], [p_a for p_a, _ in said], pos_label=True)
    assert _folded(said).brier == pytest.approx(theirs)


@given(st.lists(st.tuples(st.floats(0.001, 0.999).filter(lambda p: (10 * p) % 1 > 1e-4), st.booleans()), min_size=1))
def test_the_calibration_error_is_that_of_ten_bins_of_equal_width(said: list[tuple[float, bool]]) -> None:
    bins: dict[int, list[tuple[float, bool]]] = {}
    for p_a, gold in said:
        bins.setdefault(int(p_a * 10), []).append((p_a, gold))
    by_hand = sum(abs(sum(p for p, _ in each) - sum(gold for _, gold in each)) for each in bins.values()) / len(said)
    assert _folded(said).ece == pytest.approx(by_hand)


@given(_SAID)
def test_exchanging_a_and_b_mirrors_the_bins_and_changes_no_figure(said: list[tuple[float, bool]]) -> None:
    found = _folded(said)
    mirrored = _folded([(round(1 - p_a, 6), not gold) for p_a, gold in said])
    assert mirrored.brier == pytest.approx(found.brier)
    assert mirrored.ece == pytest.approx(found.ece)
    assert [each.n for each in mirrored.bins] == [each.n for each in reversed(found.bins)]
    assert sum(each.n for each in found.bins) == found.n == len(said)


def test_calibration_has_a_gap_where_a_critic_is_too_sure() -> None:
    """By hand: ten pairs at 0.9 and 0.1, of which six are right, and two at exactly 0.5."""
    found = _folded([(0.9, True)] * 6 + [(0.1, True)] * 4 + [(0.5, True), (0.5, False)])
    assert found.brier == pytest.approx((6 * 0.01 + 4 * 0.81 + 2 * 0.25) / 12)
    assert found.ece == pytest.approx((6 * 0.1 + 4 * 0.9) / 12)
    assert [(each.low, each.n, each.rate) for each in found.bins if each.n] == [
        (0.0, 4, 1.0),
        (0.5, 2, 0.5),
        (0.9, 6, 1.0),
    ]
    assert all(one.high == other.low for one, other in pairwise(found.bins))


def test_without_a_pair_there_is_no_figure() -> None:
    assert (Calibration().brier, Calibration().ece) == (None, None)
