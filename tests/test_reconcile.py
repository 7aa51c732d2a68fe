"""Verdicts on one pair become one label: a table of decisions, and that neither response is favoured."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aifeedback.reconcile import reconcile, unsettled, without_asking
from aifeedback.records import PA, Label, Order, Pair, PFirst, Status, Verdict, as_p_a
from aifeedback.settings import OnConflict, Panel, ReconcileSettings, whole_weights

PAIR = Pair("1", "prompt", "one", "two")
AB, BA = Order.AB, Order.BA
MISSING = [Status.UNASKED, Status.FAILED, Status.REFUSED, Status.TOO_LONG, Status.UNPARSED]

Said = tuple[Order, float | Status] | tuple[Order, float | Status, str]


def verdicts(*said: Said) -> list[Verdict]:
    """Verdicts as (order, P(a) or why there is none, critic), numbered as samples of their order and critic."""
    made: list[Verdict] = []
    for order, outcome, *critic in said:
        name = critic[0] if critic else "c"
        sample = sum(v.order is order and v.critic == name for v in made)
        if isinstance(outcome, Status):
            made.append(Verdict(name, order, sample, None, status=outcome, why=f"{outcome} in {order}"))
        else:
            made.append(Verdict(name, order, sample, PA(outcome)))
    return made


def settle(*said: Said, on_conflict: OnConflict = "drop", min_preference: float = 0.5) -> Label:
    return reconcile(PAIR, verdicts(*said), ReconcileSettings(on_conflict, min_preference))


@pytest.mark.parametrize(
    ("ab", "ba", "status", "winner", "p_a", "agreed"),
    [
        pytest.param(1.0, 1.0, None, "a", 1.0, True, id="both say a"),
        pytest.param(0.0, 0.0, None, "b", 0.0, True, id="both say b"),
        pytest.param(0.9, 0.6, None, "a", 0.75, True, id="both lean to a"),
        pytest.param(1.0, 0.5, None, "a", 0.75, False, id="a, then a tie"),
        pytest.param(0.5, 1.0, None, "a", 0.75, False, id="a tie, then a"),
        pytest.param(0.5, 0.0, None, "b", 0.25, False, id="a tie, then b"),
        pytest.param(0.5, 0.5, Status.TIE, None, 0.5, True, id="both say tie"),
        pytest.param(1.0, 0.0, Status.CONFLICT, None, 0.5, False, id="always the first shown"),
        pytest.param(0.0, 1.0, Status.CONFLICT, None, 0.5, False, id="always the second shown"),
        pytest.param(0.9, 0.2, Status.CONFLICT, None, 0.55, False, id="opposite, but not by the same measure"),
        pytest.param(0.500001, 0.499999, Status.CONFLICT, None, 0.5, False, id="opposite by a hair"),
        pytest.param(0.500001, 0.5, None, "a", 0.500001, False, id="half a millionth is rounded away from a tie"),
    ],
)
def test_two_orders_become_one_label(
    ab: float, ba: float, status: Status | None, winner: str | None, p_a: float, agreed: bool
):
    label = settle((AB, ab), (BA, ba))
    assert (label.status, label.winner, label.p_a, label.agreed) == (status, winner, p_a, agreed)
    assert label.order_p_a == {AB: ab, BA: ba}
    assert bool(label.reason) == (status is not None)


@pytest.mark.parametrize(
    ("ab", "ba", "policy", "status", "winner"),
    [
        (0.9, 0.2, "drop", Status.CONFLICT, None),
        (0.9, 0.2, "tie", Status.TIE, None),
        (0.9, 0.2, "soft", None, "a"),
        (0.7, 0.0, "soft", None, "b"),
        (1.0, 0.0, "soft", Status.CONFLICT, None),
        (0.7, 0.3, "soft", Status.CONFLICT, None),
        (1.0, 0.0, "tie", Status.TIE, None),
        (0.5, 0.5, "soft", Status.TIE, None),
        (0.9, 0.5, "tie", None, "a"),
    ],
)
def test_the_user_decides_what_becomes_of_a_conflict(
    ab: float, ba: float, policy: OnConflict, status: Status | None, winner: str | None
):
    label = settle((AB, ab), (BA, ba), on_conflict=policy)
    assert (label.status, label.winner, label.agreed) == (status, winner, label.order_p_a[AB] == 0.5 == ba)
    assert label.p_a == pytest.approx((ab + ba) / 2)


@pytest.mark.parametrize(
    ("ab", "ba", "policy", "least", "status"),
    [
        (0.8, 0.6, "drop", 0.7, None),
        (0.2, 0.4, "drop", 0.7, None),
        (0.8, 0.6, "drop", 0.700001, Status.WEAK),
        (0.2, 0.4, "drop", 0.700001, Status.WEAK),
        (1.0, 0.5, "drop", 0.8, Status.WEAK),
        (0.5, 0.5, "drop", 1.0, Status.TIE),
        (1.0, 0.0, "drop", 1.0, Status.CONFLICT),
        (0.9, 0.2, "soft", 0.6, Status.WEAK),
        (0.9, 0.2, "soft", 0.55, None),
    ],
)
def test_a_preference_below_the_least_is_weak(
    ab: float, ba: float, policy: OnConflict, least: float, status: Status | None
):
    assert settle((AB, ab), (BA, ba), on_conflict=policy, min_preference=least).status is status


@pytest.mark.parametrize("status", MISSING)
@pytest.mark.parametrize("order", list(Order))
def test_a_pair_with_one_order_missing_has_that_orders_status(status: Status, order: Order):
    other = BA if order is AB else AB
    label = settle((order, status), (other, 1.0))
    assert (label.status, label.reason) == (status, f"{status} in {order}")
    assert (label.winner, label.p_a, label.agreed) == (None, None, False)
    assert label.order_p_a == {other: 1.0}


@pytest.mark.parametrize("later", range(len(MISSING)))
@pytest.mark.parametrize("earlier", range(len(MISSING)))
def test_of_two_missing_orders_the_one_that_can_be_mended_first_gives_the_status(earlier: int, later: int):
    label = settle((AB, MISSING[later]), (BA, MISSING[earlier]))
    assert label.status is MISSING[min(earlier, later)]
    assert label.order_p_a == {}


def test_a_verdict_without_a_probability_or_a_status_counts_as_failed():
    label = reconcile(PAIR, [Verdict("c", AB, 0, None), *verdicts((BA, 1.0))], ReconcileSettings())
    assert (label.status, label.winner, label.p_a) == (Status.FAILED, None, None)


@pytest.mark.parametrize("outcome", [1.0, 0.3, 0.5])
@pytest.mark.parametrize("order", list(Order))
def test_where_one_order_was_asked_it_decides_alone_and_agrees_with_nobody(order: Order, outcome: float):
    label = settle((order, outcome))
    assert (label.p_a, label.agreed) == (outcome, False)
    assert label.status is (Status.TIE if outcome == 0.5 else None)


def test_samples_are_averaged_and_the_unreadable_ones_left_out():
    label = settle((AB, 1.0), (AB, 0.0), (AB, 1.0), (BA, 1.0), (BA, Status.UNPARSED), (BA, Status.UNPARSED))
    assert label.order_p_a == {AB: 0.666667, BA: 1.0}
    assert (label.status, label.winner, label.p_a) == (None, "a", 0.833333)


@pytest.mark.parametrize("status", [Status.UNASKED, Status.FAILED])
def test_a_sample_that_the_next_run_may_bring_leaves_the_pair_without_a_label_until_then(status: Status):
    assert settle((AB, 1.0), (AB, 1.0), (BA, 1.0), (BA, status)).status is status


def test_an_order_none_of_whose_samples_can_be_read_is_missing():
    label = settle((AB, 1.0), (AB, 1.0), (BA, Status.UNPARSED), (BA, Status.FAILED))
    assert (label.status, label.reason) == (Status.FAILED, "failed in ba")


def test_a_conflict_of_the_means_is_one_and_a_conflict_of_single_samples_is_none():
    assert settle((AB, 1.0), (AB, 0.0), (AB, 1.0), (BA, 0.0), (BA, 1.0), (BA, 1.0)).winner == "a"
    assert settle((AB, 1.0), (AB, 0.0), (AB, 1.0), (BA, 0.0), (BA, 1.0), (BA, 0.0)).status is Status.CONFLICT


def test_each_critic_of_a_panel_has_one_voice_however_many_of_its_samples_can_be_read():
    label = settle((AB, 1.0, "x"), (AB, 1.0, "x"), (AB, 0.4, "y"), (AB, Status.UNPARSED, "y"))
    assert label.p_a == 0.7


def test_a_panel_is_averaged_within_each_order_first():
    label = settle((AB, 1.0, "x"), (AB, 0.6, "y"), (BA, 0.6, "x"), (BA, 0.2, "y"))
    assert label.order_p_a == {AB: 0.8, BA: 0.4}
    assert label.status is Status.CONFLICT


def test_a_panel_one_of_whose_critics_is_silent_in_an_order_gives_no_label():
    label = settle((AB, 1.0, "x"), (AB, 1.0, "y"), (BA, 1.0, "x"), (BA, Status.REFUSED, "y"))
    assert (label.status, label.p_a, label.order_p_a) == (Status.REFUSED, None, {AB: 1.0})


def weighed(*said: Said, panel: Panel = "mean", weights: dict[str, int] | None = None) -> Label:
    return reconcile(PAIR, verdicts(*said), ReconcileSettings(panel=panel, weights=weights or {}))


def test_a_critic_of_double_weight_counts_twice():
    label = weighed((AB, 0.9, "x"), (AB, 0.0, "y"), weights={"x": 2, "y": 1})
    assert (label.p_a, label.winner) == (0.6, "a")
    assert weighed((AB, 0.9, "x"), (AB, 0.0, "y"), weights={"x": 1, "y": 2}).p_a == 0.3


def test_weights_are_as_exact_as_they_are_written():
    weights = {"x": Fraction("0.1"), "y": Fraction("0.2"), "z": Fraction("0.3")}
    assert whole_weights(weights) == {"x": 1, "y": 2, "z": 3}
    assert whole_weights({"x": Fraction("0.7"), "y": Fraction("0.70")}) == {}
    # 0.1 + 0.2 against 0.3: exactly a tie, which sums of floats would miss.
    label = weighed((AB, 1.0, "x"), (AB, 1.0, "y"), (AB, 0.0, "z"), weights=whole_weights(weights))
    assert (label.p_a, label.status) == (0.5, Status.TIE)


def test_a_majority_counts_decisions_however_sure_they_are():
    said = [(AB, 0.51, "x"), (AB, 0.51, "y"), (AB, 0.0, "z")]
    assert weighed(*said).winner == "b"
    majority = weighed(*said, panel="majority")
    assert (majority.winner, majority.p_a) == ("a", 0.666667)
    assert weighed(*said, panel="majority", weights={"x": 1, "y": 1, "z": 3}).winner == "b"
    assert weighed((AB, 0.5, "x"), (AB, 0.6, "y"), panel="majority").p_a == 0.75


def test_a_vote_is_the_decision_of_the_mean_of_the_samples():
    assert weighed((AB, 1.0), (AB, 1.0), (AB, 0.0), panel="majority").p_a == 1.0
    assert weighed((AB, 1.0), (AB, 0.0), panel="majority").status is Status.TIE


def test_a_majority_needs_every_critic_too():
    label = weighed((AB, 1.0, "x"), (AB, 1.0, "y"), (AB, Status.UNPARSED, "z"), panel="majority")
    assert (label.status, label.p_a) == (Status.UNPARSED, None)


@pytest.mark.parametrize(
    ("said", "least", "doubtful"),
    [
        pytest.param([(AB, 1.0), (BA, 1.0)], 0.5, False, id="a plain label"),
        pytest.param([(AB, 1.0), (BA, 0.0)], 0.5, True, id="a conflict"),
        pytest.param([(AB, 0.8), (BA, 0.6)], 0.75, True, id="weak"),
        pytest.param([(AB, 0.5), (BA, 0.5)], 0.5, False, id="a tie is an answer"),
        pytest.param([(AB, 0.5), (BA, 0.5)], 0.6, True, id="a tie where more is wanted"),
        pytest.param([(AB, 1.0, "x"), (AB, 0.0, "y")], 0.5, True, id="two critics that cancel each other out"),
        pytest.param([(AB, 1.0), (BA, Status.UNPARSED)], 0.5, False, id="a failure"),
    ],
)
def test_a_stronger_critic_is_worth_asking_where_the_first_contradict_themselves_or_are_weak(
    said: list[Said], least: float, doubtful: bool
):
    settings = ReconcileSettings("escalate", least)
    assert unsettled(reconcile(PAIR, verdicts(*said), settings), settings) is doubtful


def test_identical_responses_are_no_doubt():
    assert not unsettled(without_asking(PAIR, Status.TIE, "identical"), ReconcileSettings("escalate", 0.9))


def test_a_label_keeps_its_verdicts_in_the_order_in_which_they_came():
    given_ = verdicts((BA, 1.0), (AB, Status.UNPARSED), (AB, 0.5))
    assert reconcile(PAIR, given_, ReconcileSettings()).verdicts == tuple(given_)


def test_a_pair_that_nobody_was_asked_about_has_a_status_and_no_verdicts():
    label = without_asking(PAIR, Status.INVALID, "no prompt")
    assert (label.status, label.reason, label.winner, label.p_a) == (Status.INVALID, "no prompt", None, None)
    assert (label.verdicts, label.order_p_a, label.agreed) == ((), {}, False)


OUTCOMES = st.integers(0, 1_000_000) | st.sampled_from([0, 250_000, 499_999, 500_000, 500_001, 1_000_000, *MISSING])
PLACES = st.dictionaries(
    st.tuples(st.sampled_from(Order), st.sampled_from("xyz"), st.integers(0, 4)), OUTCOMES, min_size=1
)
SETTINGS = st.builds(
    ReconcileSettings,
    st.sampled_from(["drop", "tie", "soft", "escalate"]),
    st.sampled_from([0.5, 0.75, 1.0]) | st.integers(500_000, 1_000_000).map(lambda millionths: millionths / 1_000_000),
    st.sampled_from(["mean", "majority"]),
    st.dictionaries(st.sampled_from("xyz"), st.integers(1, 30) | st.sampled_from([10**40, 7**20])),
)


def from_places(said: dict[tuple[Order, str, int], int | Status], *, exchanged: bool) -> list[Verdict]:
    """What critics say about places, heard for a pair or for the same pair with a and b exchanged."""
    heard = []
    for (order, critic, sample), outcome in said.items():
        # The critic sees the same text: what a's order was is b's now.
        seen = (BA if order is AB else AB) if exchanged else order
        if isinstance(outcome, Status):
            heard.append(Verdict(critic, seen, sample, None, status=outcome, why=outcome))
        else:
            heard.append(Verdict(critic, seen, sample, as_p_a(PFirst(outcome / 1_000_000), seen)))
    return heard


@given(PLACES, SETTINGS)
def test_exchanging_the_responses_mirrors_the_label_exactly(
    said: dict[tuple[Order, str, int], int | Status], settings: ReconcileSettings
):
    one = reconcile(PAIR, from_places(said, exchanged=False), settings)
    other = reconcile(PAIR, from_places(said, exchanged=True), settings)
    assert other.status is one.status
    assert other.agreed is one.agreed
    assert other.preference == one.preference
    assert other.winner == {"a": "b", "b": "a", None: None}[one.winner]
    assert (other.p_a is None) == (one.p_a is None)
    if one.p_a is not None and other.p_a is not None:
        assert round(1 - one.p_a, 6) == other.p_a
    assert {BA if order is AB else AB: round(1 - p, 6) for order, p in one.order_p_a.items()} == other.order_p_a


@given(PLACES, SETTINGS, st.integers(1, 9))
def test_equal_weights_are_as_good_as_none(
    said: dict[tuple[Order, str, int], int | Status], settings: ReconcileSettings, weight: int
):
    heard = from_places(said, exchanged=False)
    alike = replace(settings, weights=dict.fromkeys("xyz", weight))
    assert reconcile(PAIR, heard, alike) == reconcile(PAIR, heard, replace(settings, weights={}))


@given(PLACES, SETTINGS, st.randoms(use_true_random=False))
def test_the_order_in_which_verdicts_come_in_decides_nothing(
    said: dict[tuple[Order, str, int], int | Status], settings: ReconcileSettings, dice: object
):
    heard = from_places(said, exchanged=False)
    one = reconcile(PAIR, heard, settings)
    dice.shuffle(heard)  # type: ignore[attr-defined]
    other = reconcile(PAIR, heard, settings)
    assert replace(other, verdicts=()) == replace(one, verdicts=())


@given(PLACES, SETTINGS)
def test_a_label_always_prefers_what_it_chose_and_needs_every_order(
    said: dict[tuple[Order, str, int], int | Status], settings: ReconcileSettings
):
    label = reconcile(PAIR, from_places(said, exchanged=False), settings)
    if label.status is None:
        assert 0.5 < label.preference <= 1
        assert label.preference >= settings.min_preference
        assert label.preference == round(label.preference, 6)
        assert set(label.order_p_a) == {order for order, _, _ in said}
    else:
        assert label.winner is None
        assert label.reason
