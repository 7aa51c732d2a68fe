"""Labels folded one by one: the counts add up, and each rate is over what it says it is over."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aifeedback.measures import kappa, wilson
from aifeedback.reconcile import IDENTICAL, reconcile, without_asking
from aifeedback.records import PA, Content, Invalid, Label, Message, Order, Pair, PFirst, Status, Verdict, as_p_a
from aifeedback.settings import OnConflict, ReconcileSettings
from aifeedback.summary import Tally

AB, BA = Order.AB, Order.BA
PAIR = Pair("1", "prompt", "one", "two")
BAD_LINE = Invalid("pairs.jsonl", 3, "{", "not JSON")
RATES = {"consistency", "first_shown_rate", "longer_chosen_rate", "same_family_rate"}

Outcome = float | Status


def verdict(order: Order, outcome: Outcome, sample: int = 0) -> Verdict:
    if isinstance(outcome, Status):
        return Verdict("c", order, sample, None, status=outcome, why=outcome)
    return Verdict("c", order, sample, PA(outcome))


def label(ab: Outcome, ba: Outcome, pair: Pair = PAIR, on_conflict: OnConflict = "drop", least: float = 0.5) -> Label:
    return reconcile(pair, [verdict(AB, ab), verdict(BA, ba)], ReconcileSettings(on_conflict, least))


def tally(*labels: Label | Invalid, critic: str = "openai/gpt-5-mini") -> Tally:
    counted = Tally(critic)
    for each in labels:
        counted.add(each)
    return counted


def agreement(*labels: Label | Invalid) -> dict[str, object] | None:
    found = tally(*labels).rates()["agreement"]
    assert found is None or isinstance(found, dict)
    return found


def golden(gold: Literal["", "a", "b", "tie"]) -> Pair:
    return replace(PAIR, gold=gold)


OUTCOMES = st.sampled_from([0.0, 0.3, 0.5, 0.7, 1.0, Status.UNPARSED, Status.REFUSED, Status.FAILED, Status.TOO_LONG])
PAIRS = st.builds(
    Pair,
    st.just("1"),
    st.just("prompt"),
    st.sampled_from(["x", "xy"]),
    st.sampled_from(["y", "xyz"]),
    gold=st.sampled_from(["", "a", "b", "tie"]),
    model_a=st.sampled_from(["", "gpt-4o", "claude-3"]),
    model_b=st.sampled_from(["", "gpt-4o", "claude-3"]),
)
LABELS = st.one_of(
    st.just(BAD_LINE),
    st.builds(label, OUTCOMES, OUTCOMES, PAIRS, st.sampled_from(["drop", "tie", "soft"]), st.sampled_from([0.5, 0.8])),
    st.builds(without_asking, PAIRS, st.sampled_from([Status.INVALID, Status.TIE, Status.UNASKED]), st.just("why")),
)


@given(st.lists(LABELS, max_size=40))
def test_what_became_of_the_pairs_adds_up_to_what_was_read(labels: list[Label | Invalid]):
    counted = tally(*labels)
    counts = counted.counts()
    assert list(counts) == ["read", "labeled", *(status.value for status in Status)]
    assert counts["read"] == len(labels) == sum(count for name, count in counts.items() if name != "read")
    assert counts["labeled"] == sum(each.winner is not None for each in labels)
    assert counted.troubled == counts["failed"] + counts["unparsed"] + counts["too_long"] + counts["invalid"]


@given(st.lists(LABELS, max_size=40))
def test_every_rate_is_a_number_within_its_interval_or_both_are_null(labels: list[Label | Invalid]):
    rates = tally(*labels).rates()
    assert set(rates) == {*RATES, *(f"{name}_ci" for name in RATES), "agreement"}
    found = [(rates[name], rates[f"{name}_ci"]) for name in RATES]
    if isinstance(rates["agreement"], dict):
        found.append((rates["agreement"]["accuracy"], rates["agreement"]["accuracy_ci"]))
        assert (rates["agreement"]["kappa"] is None) == (rates["agreement"]["kappa_ci"] is None)
    for rate, interval in found:
        assert (rate is None) == (interval is None)
        if interval is not None:
            assert 0 <= interval[0] <= rate + 1e-6
            assert rate - 1e-6 <= interval[1] <= 1


@given(st.lists(LABELS, max_size=20), st.randoms(use_true_random=False))
def test_the_order_of_the_labels_decides_nothing(labels: list[Label | Invalid], dice: object):
    shuffled = list(labels)
    dice.shuffle(shuffled)  # type: ignore[attr-defined]
    assert tally(*shuffled) == tally(*labels)


def test_nothing_read_has_no_rates():
    counted = tally()
    assert counted.counts() == {"read": 0, "labeled": 0, **{status.value: 0 for status in Status}}
    assert set(counted.rates().values()) == {None}


def test_a_bad_line_counts_as_one():
    counts = tally(BAD_LINE, BAD_LINE, label(1.0, 1.0)).counts()
    assert (counts["read"], counts["invalid"], counts["labeled"]) == (3, 2, 1)


@pytest.mark.parametrize(("p_first", "rate"), [(1.0, 1.0), (0.75, 1.0), (0.0, 0.0), (0.5, None)])
def test_a_critic_that_only_sees_places_is_unmasked(p_first: float, rate: float | None):
    said = [verdict(order, as_p_a(PFirst(p_first), order)) for order in Order]
    rates = tally(*[reconcile(PAIR, said, ReconcileSettings())] * 20).rates()
    assert rates["first_shown_rate"] == rate
    assert rates["consistency"] == (0.0 if rate is not None else 1.0)


def test_a_fair_critic_names_the_first_shown_half_of_the_time():
    rates = tally(label(1.0, 1.0), label(0.0, 0.0), label(0.8, 0.9)).rates()
    assert rates["first_shown_rate"] == 0.5
    assert rates["consistency"] == 1.0


def test_the_first_shown_rate_is_over_decided_verdicts_of_every_pair_and_sample():
    samples = reconcile(PAIR, [verdict(AB, p, n) for n, p in enumerate([1.0, 0.0, 1.0, 0.5])], ReconcileSettings())
    unread = label(1.0, Status.UNPARSED)
    tie = label(0.5, 1.0)
    rates = tally(samples, unread, tie).rates()
    # 2 of 3 decided samples, 1 of 1 where the other order can't be read, 0 of 1 beside a tie
    assert rates["first_shown_rate"] == 0.6


@pytest.mark.parametrize(
    ("ab", "ba", "consistency"),
    [
        (1.0, 0.6, 1.0),
        (0.5, 0.5, 1.0),
        (1.0, 0.0, 0.0),
        (1.0, 0.5, 0.0),
        (1.0, Status.UNPARSED, None),
        (Status.FAILED, Status.FAILED, None),
    ],
)
def test_consistency_is_over_pairs_with_two_readable_orders(ab: Outcome, ba: Outcome, consistency: float | None):
    assert tally(label(ab, ba)).rates()["consistency"] == consistency


@pytest.mark.parametrize("policy", ["drop", "tie", "soft"])
def test_a_conflict_is_inconsistent_whatever_becomes_of_it(policy: OnConflict):
    rates = tally(label(0.9, 0.2, on_conflict=policy), label(1.0, 1.0)).rates()
    assert rates["consistency"] == 0.5
    assert rates["consistency_ci"] == wilson(1, 2)


def test_one_order_alone_is_neither_consistent_nor_inconsistent():
    alone = reconcile(PAIR, [verdict(AB, 1.0)], ReconcileSettings())
    assert tally(alone).rates()["consistency"] is None


def lengths(a: Content, b: Content) -> Pair:
    return Pair("1", "prompt", a, b)


def test_the_longer_chosen_rate_ignores_equal_lengths_and_pairs_without_a_label():
    rates = tally(
        label(1.0, 1.0, lengths("longer", "short")),
        label(0.0, 0.0, lengths("short", "longer")),
        label(1.0, 1.0, lengths("short", "longer")),
        label(1.0, 1.0, lengths("equal", "other")),
        label(1.0, 0.0, lengths("longer", "short")),
    ).rates()
    assert rates["longer_chosen_rate"] == pytest.approx(2 / 3, abs=1e-6)
    assert rates["longer_chosen_rate_ci"] == wilson(2, 3)
    assert tally(label(1.0, 1.0, lengths("equal", "other"))).rates()["longer_chosen_rate"] is None


def test_length_is_counted_in_characters_also_in_a_dialogue():
    long = (Message("assistant", "äöü"), Message("user", "?"), Message("assistant", "ß"))
    assert tally(label(1.0, 1.0, lengths(long, "12345678"))).rates()["longer_chosen_rate"] == 1.0
    assert tally(label(1.0, 1.0, lengths(long, "123456789"))).rates()["longer_chosen_rate"] is None


@pytest.mark.parametrize(
    ("critic", "model_a", "model_b", "rate"),
    [
        ("openai/gpt-5-mini", "gpt-4o", "claude-3", 1.0),
        ("openai/gpt-5-mini", "claude-3", "gpt-4o", 0.0),
        ("openai/gpt-5-mini", "gpt-4o", "", 1.0),
        ("openai/gpt-5-mini", "gpt-4o", "o3-mini", None),
        ("openai/gpt-5-mini", "claude-3", "llama-3", None),
        ("openai/gpt-5-mini", "", "", None),
        ("builtin", "", "gpt-4o", None),
        ("ollama/my-model", "my-model", "", None),
        ("openai/gpt-5-mini+anthropic/claude-5", "llama-3", "claude-3", 0.0),
        ("openai/gpt-5-mini+anthropic/claude-5", "gpt-4o", "claude-3", None),
    ],
)
def test_the_same_family_rate_is_over_pairs_with_exactly_one_of_the_critics_family(
    critic: str, model_a: str, model_b: str, rate: float | None
):
    won_by_a = label(1.0, 1.0, replace(PAIR, model_a=model_a, model_b=model_b))
    assert tally(won_by_a, critic=critic).rates()["same_family_rate"] == rate


@pytest.mark.parametrize("gold", ["", "tie"])
def test_without_gold_there_is_no_agreement(gold: Literal["", "tie"]):
    assert agreement(label(1.0, 1.0, golden(gold))) is None


def test_what_has_gold_but_no_label_counts_as_wrong():
    found = agreement(
        label(1.0, 1.0, golden("a")),
        label(1.0, 1.0, golden("b")),
        label(1.0, 0.0, golden("a")),
        label(0.5, 0.5, golden("a")),
        label(1.0, Status.UNPARSED, golden("a")),
        label(Status.FAILED, Status.FAILED, golden("b")),
        without_asking(golden("b"), Status.TIE, IDENTICAL),
        label(0.6, 0.6, golden("a"), least=0.9),
    )
    assert found is not None
    assert (found["n"], found["accuracy"], found["accuracy_ci"]) == (8, 0.125, wilson(1, 8))


def test_what_was_never_asked_or_no_pair_is_left_out():
    found = agreement(
        label(1.0, 1.0, golden("a")),
        label(1.0, Status.UNASKED, golden("a")),
        without_asking(golden("b"), Status.INVALID, "a dialogue"),
        BAD_LINE,
    )
    assert found is not None
    assert (found["n"], found["accuracy"]) == (1, 1.0)
    assert agreement(label(Status.UNASKED, Status.UNASKED, golden("a"))) is None


def test_kappa_is_over_labelled_pairs():
    labels = [
        label(1.0, 1.0, golden("a")),
        label(1.0, 1.0, golden("a")),
        label(1.0, 1.0, golden("b")),
        label(0.0, 0.0, golden("b")),
        label(0.0, 0.0, golden("a")),
        label(1.0, 0.0, golden("b")),
        label(1.0, 1.0, golden("tie")),
    ]
    counted = tally(*labels)
    assert counted.confusion == [2, 1, 1, 1]
    found = agreement(*labels)
    assert found is not None
    assert found["kappa"] == pytest.approx(kappa([2, 1, 1, 1]), abs=1e-6)


def test_each_order_has_an_accuracy_of_its_own():
    found = agreement(
        label(1.0, 0.0, golden("a")),
        label(1.0, 1.0, golden("a")),
        label(0.5, 0.0, golden("b")),
        label(Status.UNPARSED, 0.0, golden("b")),
    )
    assert found is not None
    assert found["accuracy_by_order"] == {"ab": 0.5, "ba": 0.75}
