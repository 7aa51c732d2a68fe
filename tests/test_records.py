"""Places become responses in one function, and a label says which response won."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aifeedback.records import (
    PA,
    Invalid,
    Label,
    Message,
    Order,
    Pair,
    PFirst,
    Question,
    Reply,
    Status,
    VerdictFormat,
    as_p_a,
    text_of,
)

PAIR = Pair("1", "prompt", "one", "two")


def label(p_a: float | None, status: Status | None = None) -> Label:
    return Label(PAIR, status, "", None if p_a is None else PA(p_a), {}, agreed=True, verdicts=())


@pytest.mark.parametrize(
    ("p_first", "order", "p_a"),
    [
        (1.0, Order.AB, 1.0),
        (1.0, Order.BA, 0.0),
        (0.0, Order.BA, 1.0),
        (0.5, Order.AB, 0.5),
        (0.5, Order.BA, 0.5),
        (0.9, Order.BA, 0.1),
        (0.5000004, Order.AB, 0.5),
        (0.5000004, Order.BA, 0.5),
        (0.12345678, Order.AB, 0.123457),
        (0.12345678, Order.BA, 0.876543),
    ],
)
def test_a_place_becomes_a_response(p_first: float, order: Order, p_a: float):
    assert as_p_a(PFirst(p_first), order) == p_a


@given(st.floats(0, 1))
def test_the_two_orders_of_one_verdict_mirror_each_other_exactly(p_first: float):
    ab, ba = as_p_a(PFirst(p_first), Order.AB), as_p_a(PFirst(p_first), Order.BA)
    assert 0 <= ab <= 1
    assert round(1 - ab, 6) == ba
    assert round(1 - ba, 6) == ab
    assert ab == round(ab, 6)


@pytest.mark.parametrize(
    ("p_a", "winner", "preference", "chosen", "rejected"),
    [
        (1.0, "a", 1.0, "one", "two"),
        (0.500001, "a", 0.500001, "one", "two"),
        (0.499999, "b", 0.500001, "two", "one"),
        (0.07, "b", 0.93, "two", "one"),
        (0.0, "b", 1.0, "two", "one"),
    ],
)
def test_the_winner_is_chosen_and_the_other_rejected(
    p_a: float, winner: str, preference: float, chosen: str, rejected: str
):
    labelled = label(p_a)
    assert (labelled.winner, labelled.preference, labelled.chosen, labelled.rejected) == (
        winner,
        preference,
        chosen,
        rejected,
    )


@pytest.mark.parametrize("status", list(Status))
def test_a_pair_with_a_status_has_no_winner_whatever_its_probability(status: Status):
    assert label(0.9, status).winner is None
    assert label(0.9, status).chosen is None
    assert label(0.9, status).rejected is None
    assert label(0.9, status).preference == 0.9


def test_where_nothing_is_known_nobody_wins():
    unknown = label(None)
    assert (unknown.winner, unknown.chosen, unknown.rejected, unknown.preference) == (None, None, None, 0.5)


def test_an_invalid_line_has_a_status_and_no_winner():
    invalid = Invalid("pairs.jsonl", 3, "{", "not JSON")
    assert invalid.status is Status.INVALID
    assert invalid.winner is None


@pytest.mark.parametrize(("order", "first", "second"), [(Order.AB, "one", "two"), (Order.BA, "two", "one")])
def test_the_order_says_which_response_is_shown_first(order: Order, first: str, second: str):
    question = Question((), VerdictFormat("letter", {}), PAIR, order)
    assert (question.first, question.second) == (first, second)


@pytest.mark.parametrize(
    ("reply", "complete"),
    [
        (Reply("yes", finish_reason="stop"), True),
        (Reply("yes"), True),
        (Reply("", reasoning="hm"), True),
        (Reply("", refusal="no"), True),
        (Reply(""), False),
        (Reply(" \n", reasoning="\t", refusal=" "), False),
        (Reply("yes", finish_reason="length"), False),
        (Reply("yes", finish_reason="content_filter"), False),
        (Reply("yes", finish_reason="error"), False),
    ],
    ids=lambda value: f"{value.content!r}-{value.finish_reason}" if isinstance(value, Reply) else str(value),
)
def test_a_reply_that_was_cut_off_filtered_or_empty_is_not_complete(reply: Reply, complete: bool):
    assert reply.complete is complete


def test_the_plainest_answer_says_a_place():
    arena = VerdictFormat(
        "tags", {"[[A>B]]": PFirst(0.75), "[[A>>B]]": PFirst(1.0), "[[B>>A]]": PFirst(0.0), "[[A=B]]": PFirst(0.5)}
    )
    assert [arena.answer(place) for place in ("first", "tie", "second")] == ["[[A>>B]]", "[[A=B]]", "[[B>>A]]"]
    with pytest.raises(KeyError, match="tie"):
        VerdictFormat("claim", {"Output (a)": PFirst(1.0)}).answer("tie")


def test_the_text_of_a_dialogue_is_its_turns():
    assert text_of("as it is") == "as it is"
    assert text_of((Message("user", "one"), Message("assistant", "two"))) == "one\n\ntwo"


@pytest.mark.parametrize(
    "value", [PAIR, Message("user", "x"), label(0.9), Reply("")], ids=lambda value: type(value).__name__
)
def test_records_are_frozen(value: object):
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, dataclasses.fields(value)[0].name, "other")  # type: ignore[arg-type]


def test_statuses_are_listed_as_the_contract_lists_them():
    assert [status.value for status in Status] == [
        "tie",
        "conflict",
        "weak",
        "length",
        "unparsed",
        "refused",
        "too_long",
        "failed",
        "unasked",
        "invalid",
    ]
