"""A row of training data is one example or one problem, whatever it holds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aifeedback.records import Message
from aifeedback.training.examples import Demonstration, PreferencePair, Problem, Thumb
from aifeedback.training.findings import WORDINGS
from aifeedback.training.reading import read_examples
from aifeedback.training.settings import Kind

USER, GOOD, BAD = (
    {"role": "user", "content": "Name a prime number."},
    {"role": "assistant", "content": "7"},
    {"role": "assistant", "content": "9"},
)
STRINGS = {"prompt": "Name a prime number.", "chosen": "7", "rejected": "9", "preference": 0.9}
TURNS = {"prompt": [USER], "chosen": [GOOD], "rejected": [BAD], "preference": 0.9}


def read(kind: Kind, value: object) -> Any:
    return read_examples(kind, value, file="labels.jsonl", line=3)


def code(kind: Kind, value: object) -> str:
    found = read(kind, value)
    assert isinstance(found, Problem), found
    return found.code


def test_a_labelled_row_is_a_pair_with_its_preference_place_and_maker() -> None:
    feedback = {"critic": "openai/x", "template": "pairwise@1", "criteria": "helpful", "verdicts": []}
    [pair] = read("dpo", STRINGS | {"id": "7", "feedback": feedback, "meta": {"label": 3}})
    assert isinstance(pair, PreferencePair)
    assert (pair.prompt, pair.chosen, pair.rejected, pair.preference) == ("Name a prime number.", "7", "9", 0.9)
    assert (pair.file, pair.line, pair.id, pair.source.critic) == ("labels.jsonl", 3, "7", "openai/x")


def test_messages_are_read_turn_by_turn() -> None:
    [pair] = read("dpo", TURNS)
    assert pair.prompt == (Message("user", "Name a prime number."),)
    assert pair.chosen == (Message("assistant", "7"),)


def test_a_labelled_row_teaches_sft_its_chosen_answer() -> None:
    assert read("sft", STRINGS) == [Demonstration("Name a prime number.", "7", "labels.jsonl", 3)]


@pytest.mark.parametrize("field", ["completion", "response"])
def test_a_teachers_answer_teaches_sft(field: str) -> None:
    assert read("sft", {"prompt": "Name one.", field: "2"}) == [Demonstration("Name one.", "2", "labels.jsonl", 3)]


def test_of_a_dialogue_the_last_turn_is_what_sft_learns() -> None:
    [shown] = read("sft", {"messages": [USER, GOOD, USER, BAD]})
    assert [turn.content for turn in shown.prompt] == ["Name a prime number.", "7", "Name a prime number."]
    assert shown.completion == (Message("assistant", "9"),)


@pytest.mark.parametrize(
    ("row", "up"), [({"thumb": 1}, True), ({"thumb": -1}, False), ({"label": True}, True), ({"label": False}, False)]
)
def test_a_thumb_is_up_or_down(row: dict[str, object], up: bool) -> None:
    assert read("kto", {"prompt": "Name one.", "completion": "2"} | row) == [
        Thumb("Name one.", "2", up, "labels.jsonl", 3)
    ]


def test_a_labelled_pair_is_two_thumbs() -> None:
    assert [(thumb.completion, thumb.up) for thumb in read("kto", STRINGS)] == [("7", True), ("9", False)]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        # silent mistraining 1: prompt and full conversations, so the prompt is trained twice
        ({**TURNS, "chosen": [USER, GOOD], "rejected": [USER, BAD]}, "prompt_repeated"),
        ({**STRINGS, "chosen": [USER, GOOD], "rejected": [USER, BAD]}, "prompt_repeated"),
        ({**STRINGS, "chosen": "Name a prime number. 7", "rejected": "Name a prime number. 9"}, "prompt_repeated"),
        ({**TURNS, "tools": ["x"]}, "more_than_text"),
        ({**TURNS, "chosen": [{**GOOD, "tool_calls": [{"id": 1}]}]}, "more_than_text"),
        (
            {**STRINGS, "chosen": "\n\nHuman: Hi\n\nAssistant: 7", "rejected": "\n\nHuman: Hi\n\nAssistant: 9"},
            "transcript",
        ),
        # silent mistraining 2: null becomes the text "None", parts their spelling in Python
        ({**TURNS, "chosen": [{"role": "assistant", "content": None}]}, "not_text"),
        ({**TURNS, "chosen": [{"role": "assistant", "content": [{"type": "text", "text": "7"}]}]}, "not_text"),
        ({**STRINGS, "chosen": None}, "not_text"),
        ({**STRINGS, "prompt": 7}, "not_text"),
        ({**STRINGS, "chosen": "half \ud83d"}, "not_text"),
        # silent mistraining 3: nothing to learn, or nothing at all
        ({**STRINGS, "rejected": "7"}, "same"),
        ({**STRINGS, "rejected": " 7\n"}, "same"),
        ({**TURNS, "rejected": [GOOD]}, "same"),
        ({**STRINGS, "chosen": "7", "rejected": "\u200b7\u2060"}, "same"),
        ({**STRINGS, "chosen": " \n"}, "empty"),
        ({**STRINGS, "prompt": " "}, "empty"),
        ({**TURNS, "chosen": []}, "empty"),
        ({**TURNS, "chosen": [{"role": "assistant", "content": ""}]}, "empty"),
        ({"prompt": "p", "chosen": "7"}, "missing"),
        ({"chosen": "7", "rejected": "9"}, "missing"),
        ({**TURNS, "prompt": "Name a prime number."}, "mixed_row"),
        ({**STRINGS, "prompt": [USER]}, "mixed_row"),
        ({**TURNS, "prompt": [USER, GOOD]}, "roles"),
        ({**TURNS, "chosen": [GOOD, {"role": "tool", "content": "x"}]}, "roles"),
        # silent mistraining 4: all that follows the prompt is trained on, whoever says it
        ({**TURNS, "chosen": [GOOD, USER, GOOD]}, "others_in_answer"),
        ({**TURNS, "rejected": [BAD, {"role": "tool", "content": "x"}, BAD]}, "others_in_answer"),
        # silent mistraining 1 again, with other white space, and within a turn
        (
            {
                "prompt": "Name a\nprime  number.",
                "chosen": " Name a prime number. 7",
                "rejected": "Name a prime number.9",
            },
            "prompt_repeated",
        ),
        (
            {
                **TURNS,
                "chosen": [{**GOOD, "content": "Name a prime number.\n\n7"}],
                "rejected": [{**BAD, "content": "Name a prime number.\n\n9"}],
            },
            "prompt_repeated",
        ),
        ({**TURNS, "chosen": ["7"]}, "roles"),
        ({**STRINGS, "preference": 1.2}, "preference"),
        ({**STRINGS, "preference": "0.9"}, "preference"),
        ({**STRINGS, "preference": True}, "preference"),
        ({**STRINGS, "preference": float("nan")}, "preference"),
        ({"prompt": "p", "response_a": "7", "response_b": "9"}, "unlabelled"),
        ({"id": "1", "status": "tie", "reason": "", "pair": {}}, "rest_row"),
        ([STRINGS], "no_object"),
        (None, "no_object"),
    ],
)
def test_a_row_that_would_mistrain_is_a_problem(row: object, expected: str) -> None:
    assert code("dpo", row) == expected


UNSEEN = ["", " \n", "\u200b", "\u2060\ufeff", "\u00ad\u200e", "\u3164", "\u2800\u2800", "\ufe0f", "\x00"]


@pytest.mark.parametrize("text", UNSEEN, ids=ascii)
def test_what_can_not_be_seen_is_no_prompt_and_no_answer_to_be_learnt(text: str) -> None:
    turn = [{"role": "assistant", "content": text}]
    assert code("dpo", STRINGS | {"chosen": text}) == code("dpo", TURNS | {"chosen": turn}) == "empty"
    assert code("dpo", STRINGS | {"prompt": text}) == "empty"
    assert code("sft", {"prompt": "Name one.", "completion": text}) == "empty"
    assert code("kto", {"prompt": "Name one.", "completion": text, "thumb": 1}) == "empty"


@pytest.mark.parametrize("text", UNSEEN, ids=ascii)
def test_not_to_answer_may_be_the_worse_answer(text: str) -> None:
    turn = [{"role": "assistant", "content": text}]
    assert isinstance(read("dpo", STRINGS | {"rejected": text})[0], PreferencePair)
    assert isinstance(read("dpo", TURNS | {"rejected": turn})[0], PreferencePair)
    assert isinstance(read("kto", {"prompt": "Name one.", "completion": text, "thumb": -1})[0], Thumb)


@pytest.mark.parametrize("text", ["7", "\u200b7", "…", "😀", "é", "\u0301e", "。", "नहीं"], ids=ascii)
def test_what_can_be_seen_is_an_answer(text: str) -> None:
    assert isinstance(read("sft", {"prompt": "Name one.", "completion": text})[0], Demonstration)


def test_a_greeting_may_be_answered_with_the_same_words() -> None:
    row = {"prompt": "Good morning", "chosen": "Good morning to you.", "rejected": "Good morning! What?"}
    assert isinstance(read("dpo", row)[0], PreferencePair)


@pytest.mark.parametrize("thumb", [0, 2, "1", True, None, 0.5])
def test_a_thumb_that_is_neither_up_nor_down_is_a_problem(thumb: object) -> None:
    assert code("kto", {"prompt": "p", "completion": "c", "thumb": thumb}) == "thumb"


def test_a_missing_field_is_told_with_what_may_be_meant() -> None:
    found = read("dpo", {"prompt": "p", "choosen": "7", "rejected": "9"})
    assert found.detail == 'no "chosen", but "choosen"'


def test_a_tool_turn_may_end_the_prompt_and_a_system_turn_begin_it() -> None:
    prompt = [{"role": "system", "content": "Be brief."}, USER, GOOD, {"role": "tool", "content": "7 is prime"}]
    assert isinstance(read("dpo", {**TURNS, "prompt": prompt})[0], PreferencePair)


def test_one_answer_may_take_up_the_question() -> None:
    assert isinstance(read("dpo", {"prompt": "Why?", "chosen": "Why? Because.", "rejected": "No."})[0], PreferencePair)


_json = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
_turns = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "x"]) | _json, "content": _json})
)
_field = _json | st.text() | _turns
_rows = _json | st.dictionaries(
    st.sampled_from(
        ["prompt", "chosen", "rejected", "completion", "thumb", "label", "preference", "messages", "feedback", "status"]
    ),
    _field,
)


@given(kind=st.sampled_from(["dpo", "sft", "kto"]), value=_rows)
def test_whatever_a_row_holds_it_is_examples_or_one_known_problem(kind: Kind, value: object) -> None:
    found = read(kind, value)
    if isinstance(found, Problem):
        assert found.code in WORDINGS
    else:
        assert found


PAIR = {"prompt": "Name a number.", "chosen": "One.", "rejected": "Blue."}
ANSWERED = {"prompt": "p", "completion": "c"}
BARE = {"prompt": "p", "response_a": "a", "response_b": "b"}
DIALOGUE = [USER, GOOD]


@pytest.mark.parametrize(
    ("wanted", "kind", "row"),
    [
        ("unlabelled", "kto", BARE),
        ("unlabelled", "dpo", {"prompt": "p", "response_b": "b"}),
        ("roles", "sft", {"messages": [{"role": "bot", "content": "Hi"}, *DIALOGUE]}),
        ("transcript", "dpo", {"chosen": "\n\nHuman: A?\n\nAssistant: B", "rejected": "\n\nHuman: A?\n\nAssistant: C"}),
        ("contradiction", "kto", ANSWERED | {"thumb": 1, "label": False}),
        ("disliked", "sft", ANSWERED | {"thumb": -1}),
        ("disliked", "sft", ANSWERED | {"label": False}),
        ("disliked", "sft", {"messages": DIALOGUE, "thumb": -1}),
        ("worse_chosen", "sft", PAIR | {"preference": 0.2}),
        ("worse_chosen", "kto", PAIR | {"preference": 0.2}),
        ("preference", "dpo", PAIR | {"preference": 10**400}),
        ("preference", "dpo", PAIR | {"preference": -(10**5000)}),
    ],
)
def test_a_row_that_is_unfit_says_why(wanted: str, kind: Kind, row: object) -> None:
    assert code(kind, row) == wanted
