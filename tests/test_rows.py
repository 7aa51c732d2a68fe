"""Labels as lines: the same keys and types on each, and what the user gave comes back as it was."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aifeedback import jsontext
from aifeedback.forms import to_pairs
from aifeedback.reconcile import reconcile, without_asking
from aifeedback.records import PA, Content, Invalid, Label, Message, Order, Pair, Reply, Status, Verdict
from aifeedback.rows import Shaper, identical, labelled_row, meta_shape, rest_row
from aifeedback.settings import Explain, InputSettings, Meta, OutputSettings, ReconcileSettings, Shape

NAMES = ("openai/gpt-5-mini", "pairwise@9f31c2", "helpful")
DIALOGUE = (Message("user", "Hi"), Message("assistant", "Hello"), Message("user", "Bye?"))
PLAIN = Pair("7", "prompt", "one", "two", file="pairs.jsonl", line=7)
FULL = Pair(
    "8",
    DIALOGUE,
    (Message("assistant", "one"),),
    "two",
    system="Be brief.",
    reference="the truth",
    gold="b",
    votes=("b", "b", "tie"),
    model_a="gpt-4o",
    model_b="claude-3",
    meta={"topic": "greetings", "n": 3, "deep": {"x": [1, 2]}},
    file="more.jsonl",
    line=8,
)


def verdict(order: Order, p_a: float | None, sample: int = 0) -> Verdict:
    if p_a is None:
        reply = Reply("I can't say.", reasoning="Let me see.")
        return Verdict(
            "c", order, sample, None, reason="said", status=Status.UNPARSED, why="no verdict in it", reply=reply
        )
    reply = Reply("It is [[A]].", reasoning="Let me think.")
    return Verdict("c", order, sample, PA(p_a), "tag", "It is.", soft=True, mass=0.98, reply=reply)


def label(pair: Pair, ab: float | None = 0.9, ba: float | None = 0.8) -> Label:
    return reconcile(pair, [verdict(Order.AB, ab), verdict(Order.BA, ba)], ReconcileSettings())


def written(item: Label, *, shape: Shape = "auto", meta: Meta = "keep", explain: Explain = "reason") -> dict[str, Any]:
    settings = OutputSettings(shape, meta, explain)
    shaper = Shaper(settings)
    assert shaper.refuse(item.pair) == ""
    line = labelled_row(item, *NAMES, shaper, settings)
    assert b"\n" not in line
    row: dict[str, Any] = json.loads(line)
    return row


def rest(item: Label | Invalid, *, explain: Explain = "reason") -> dict[str, Any]:
    line = rest_row(item, *NAMES, OutputSettings(explain=explain))
    assert b"\n" not in line
    row: dict[str, Any] = json.loads(line)
    return row


def kind(value: object) -> object:
    """What a loader that infers types sees; an empty list or a null is of any type."""
    if isinstance(value, dict):
        return {key: kind(item) for key, item in value.items()}
    if isinstance(value, list):
        kinds = [kind(item) for item in value]
        assert all(each == kinds[0] for each in kinds)
        return kinds[:1]
    return type(value).__name__


def test_a_labelled_line_is_what_the_contract_shows():
    item = reconcile(
        replace(PLAIN, meta={"topic": "x"}), [verdict(Order.AB, 0.1), verdict(Order.BA, 0.04)], ReconcileSettings()
    )
    said = {
        "critic": "c",
        "sample": 0,
        "method": "tag",
        "soft": True,
        "mass": 0.98,
        "served_by": "",
        "reason": "It is.",
    }
    assert written(item) == {
        "id": "7",
        "prompt": "prompt",
        "chosen": "two",
        "rejected": "one",
        "preference": 0.93,
        "feedback": {
            "winner": "b",
            "p_a": 0.07,
            "agreed": True,
            "critic": "openai/gpt-5-mini",
            "template": "pairwise@9f31c2",
            "criteria": "helpful",
            "verdicts": [{**said, "order": "ab", "p_a": 0.1}, {**said, "order": "ba", "p_a": 0.04}],
            "gold": "",
            "votes": [],
            "reference": "",
            "model_a": "",
            "model_b": "",
            "file": "pairs.jsonl",
            "line": 7,
        },
        "meta": {"topic": "x"},
    }


def test_no_key_is_one_that_a_trainer_reads_as_something_else():
    assert not {"label", "completion", "messages", "images", "tools"} & written(label(PLAIN)).keys()


TEXTS = st.text(st.characters(exclude_categories=()), max_size=12)
TURNS = st.lists(st.builds(Message, st.sampled_from(["user", "assistant"]), TEXTS), min_size=1, max_size=3).map(tuple)
CONTENTS: st.SearchStrategy[Content] = TEXTS | TURNS
PAIRS = st.builds(
    Pair,
    TEXTS,
    CONTENTS,
    CONTENTS,
    CONTENTS,
    system=TEXTS,
    reference=TEXTS,
    gold=st.sampled_from(["", "a", "b", "tie"]),
    votes=st.lists(st.sampled_from(["a", "b", "tie"]), min_size=1, max_size=3).map(tuple),
    model_a=TEXTS,
    model_b=TEXTS,
    file=st.just("pairs.jsonl"),
    line=st.integers(1, 10**6),
)
P_A = st.sampled_from([0.0, 1.0, 1 / 3, 0.25])


@given(PAIRS, P_A, P_A, st.sampled_from(["none", "reason", "full"]))
def test_every_labelled_line_has_the_same_keys_with_the_same_types(pair: Pair, ab: float, ba: float, explain: Explain):
    item = reconcile(pair, [verdict(Order.AB, ab), verdict(Order.BA, ba)], ReconcileSettings("soft"))
    if item.status is None:
        row = written(item, shape="messages", meta="drop", explain=explain)
        usual = written(label(replace(FULL, meta={})), shape="messages", meta="drop")
        assert kind(row) == kind(usual)
        assert list(row) == list(usual)
        assert list(row["feedback"]) == list(usual["feedback"])


def test_a_number_is_a_float_also_where_it_is_whole():
    row = written(label(PLAIN, 1.0, 1.0))
    assert type(row["preference"]) is float
    assert type(row["feedback"]["p_a"]) is float
    assert {type(each["p_a"]) for each in row["feedback"]["verdicts"]} == {float}


@pytest.mark.parametrize("winner", ["a", "b"])
@pytest.mark.parametrize("pair", [PLAIN, FULL], ids=["strings", "a dialogue"])
def test_the_winner_is_chosen(pair: Pair, winner: Literal["a", "b"]):
    p_a = 0.9 if winner == "a" else 0.1
    row = written(label(pair, p_a, p_a), shape="messages")
    sides = {"a": [{"role": "assistant", "content": "one"}], "b": [{"role": "assistant", "content": "two"}]}
    assert row["feedback"]["winner"] == winner
    assert row["chosen"] == sides.pop(winner)
    assert row["rejected"] == sides.popitem()[1]
    assert row["chosen"] != row["rejected"]
    assert row["preference"] == 0.9


def test_a_system_prompt_becomes_the_first_message():
    row = written(label(FULL))
    assert row["prompt"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "Bye?"},
    ]


@pytest.mark.parametrize(
    ("first", "messages"),
    [
        (PLAIN, False),
        (replace(PLAIN, system="Be brief."), True),
        (replace(PLAIN, prompt=DIALOGUE), True),
        (replace(PLAIN, response_a=(Message("assistant", "one"),)), True),
        (replace(PLAIN, response_b=(Message("assistant", "two"),)), True),
    ],
    ids=["strings", "a system prompt", "a dialogue", "response_a in messages", "response_b in messages"],
)
def test_the_first_pair_decides_the_shape_of_the_file(first: Pair, messages: bool):
    shaper = Shaper(OutputSettings())
    assert shaper.refuse(first) == ""
    assert isinstance(shaper.prompt(first), list) is messages
    assert isinstance(shaper.response("x"), list) is messages
    assert shaper.refuse(PLAIN) == ""
    assert isinstance(shaper.prompt(PLAIN), list) is messages
    assert bool(shaper.refuse(FULL)) is not messages


@pytest.mark.parametrize(
    ("shape", "pair", "refused"),
    [
        ("strings", PLAIN, False),
        ("strings", FULL, True),
        ("strings", replace(PLAIN, system="x"), True),
        ("messages", PLAIN, False),
        ("messages", FULL, False),
    ],
)
def test_a_shape_that_was_asked_for_is_kept_whatever_the_first_pair(shape: Shape, pair: Pair, refused: bool):
    reason = Shaper(OutputSettings(shape)).refuse(pair)
    assert bool(reason) is refused
    assert not refused or reason.endswith("Use --shape messages.")


def test_a_text_in_a_file_of_messages_becomes_a_message():
    row = written(label(PLAIN), shape="messages")
    assert row["prompt"] == [{"role": "user", "content": "prompt"}]
    assert row["chosen"] == [{"role": "assistant", "content": "one"}]


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("x", "x", True),
        ("x", "x ", False),
        ("x", (Message("assistant", "x"),), True),
        ((Message("assistant", "x"),), (Message("assistant", "x"),), True),
        ((Message("user", "x"),), "x", False),
    ],
    ids=str,
)
def test_responses_are_identical_if_they_say_the_same_in_whatever_shape(a: Content, b: Content, same: bool):
    assert identical(Pair("1", "prompt", a, b)) is same
    assert identical(Pair("1", "prompt", b, a)) is same


@pytest.mark.parametrize(
    ("meta", "expected"),
    [("keep", FULL.meta), ("text", '{"topic":"greetings","n":3,"deep":{"x":[1,2]}}'), ("drop", {})],
)
def test_the_users_own_fields_are_kept_written_as_text_or_dropped(meta: Meta, expected: object):
    assert written(label(FULL), meta=meta)["meta"] == expected


@pytest.mark.parametrize(("meta", "expected"), [("keep", {}), ("text", "{}"), ("drop", {})])
def test_without_fields_of_ones_own_meta_is_empty(meta: Meta, expected: object):
    assert written(label(PLAIN), meta=meta)["meta"] == expected


@pytest.mark.parametrize(
    ("explain", "said"), [("none", ""), ("reason", "It is."), ("full", "Let me think.\n\nIt is [[A]].")]
)
def test_as_much_of_the_critics_words_is_kept_as_was_asked_for(explain: Explain, said: str):
    verdicts = written(label(PLAIN), explain=explain)["feedback"]["verdicts"]
    assert [each["reason"] for each in verdicts] == [said, said]


@pytest.mark.parametrize(
    ("explain", "said"),
    [("none", "no verdict in it"), ("reason", "no verdict in it"), ("full", "Let me see.\n\nI can't say.")],
)
def test_of_what_can_not_be_read_it_is_said_why(explain: Explain, said: str):
    assert rest(label(PLAIN, None), explain=explain)["feedback"]["verdicts"][0]["reason"] == said


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (None, "no answer"),
        (Reply("", refusal="I won't."), "I won't."),
        (Reply("", reasoning="Hm."), "Hm."),
        (Reply("Yes."), "Yes."),
    ],
    ids=["no reply", "a refusal", "only reasoning", "only content"],
)
def test_the_full_text_is_whatever_there_is(reply: Reply | None, said: str):
    asked = Verdict("c", Order.AB, 0, None, status=Status.FAILED, why="no answer", reply=reply)
    row = rest(reconcile(PLAIN, [asked], ReconcileSettings()), explain="full")
    assert row["feedback"]["verdicts"][0]["reason"] == said


@pytest.mark.parametrize(
    ("item", "status", "reason"),
    [
        (label(PLAIN, 1.0, 0.0), "conflict", "the two orders disagree"),
        (label(PLAIN, 0.5, 0.5), "tie", "the critic sees no difference"),
        (label(PLAIN, None, 1.0), "unparsed", "no verdict in it"),
        (without_asking(PLAIN, Status.INVALID, "no shape"), "invalid", "no shape"),
    ],
    ids=lambda value: value.status.value if isinstance(value, Label) and value.status else None,
)
def test_what_got_no_label_says_where_it_stood_and_why(item: Label, status: str, reason: str):
    row = rest(item)
    assert list(row) == ["id", "file", "line", "status", "reason", "pair", "raw", "feedback"]
    assert (row["id"], row["file"], row["line"]) == ("7", "pairs.jsonl", 7)
    assert (row["status"], row["reason"], row["raw"]) == (status, reason, "")
    assert row["feedback"]["winner"] == ""


def test_a_bad_line_keeps_its_text_and_has_the_keys_of_all_others():
    bad = rest(Invalid("pairs.jsonl", 3, '{"id": 5', "not JSON", id="5"))
    other = rest(label(PLAIN, 1.0, 0.0))
    assert (bad["id"], bad["file"], bad["line"], bad["status"]) == ("5", "pairs.jsonl", 3, "invalid")
    assert (bad["reason"], bad["raw"]) == ("not JSON", '{"id": 5')
    assert list(bad) == list(other)
    assert list(bad["feedback"]) == list(other["feedback"])
    assert list(bad["pair"]) == list(other["pair"])


def test_bytes_that_are_no_text_come_back_in_the_rest():
    raw = b'{"prompt": "\xff"}'.decode(errors="surrogateescape")
    line = rest_row(Invalid("pairs.jsonl", 1, raw, "not UTF-8"), *NAMES, OutputSettings())
    assert json.loads(line)["raw"] == raw


def again(row: Mapping[str, Any]) -> Pair:
    line = jsontext.dumps(row["pair"], exact=True)
    record, exact = jsontext.loads(line)
    assert isinstance(record, dict)
    (pair,) = to_pairs(record, InputSettings(), file="pairs.jsonl", line=7, exact=exact)
    return pair


@pytest.mark.parametrize(
    "pair",
    [
        PLAIN,
        replace(FULL, file="pairs.jsonl", line=7),
        replace(PLAIN, votes=("a", "b"), gold=""),
        replace(PLAIN, prompt=DIALOGUE, meta={"chosen": "x", "rejected": "y", "instruction": "z", "responses": []}),
    ],
    ids=["plain", "everything", "undecided votes", "fields of other forms"],
)
def test_a_pair_of_the_rest_can_be_fed_to_the_input_again(pair: Pair):
    assert again(rest(label(pair, 1.0, 0.0))) == pair


def test_a_field_that_bears_one_of_our_names_does_not_take_its_place():
    # with --map prompt=question the record's own "prompt" is one of the user's fields
    pair = replace(PLAIN, meta={"prompt": "something else", "id": 99, "topic": "x"})
    row = rest(label(pair, 1.0, 0.0))
    assert again(row) == replace(PLAIN, meta={"topic": "x"})
    assert written(label(pair))["meta"] == pair.meta


ODD = {"nan": float("nan"), "inf": [float("-inf")], "big": 2**70, "lone": "\ud800", "deep": {"\udfff": 1.0}}


@pytest.mark.parametrize("meta", ["keep", "text"])
def test_numbers_and_text_that_json_hardly_knows_survive(meta: Meta):
    settings = OutputSettings(meta=meta)
    pair = replace(PLAIN, prompt="lone \ud83d", meta=ODD, exact=True)
    shaper = Shaper(settings)
    assert shaper.refuse(pair) == ""
    row, _ = jsontext.loads(labelled_row(label(pair), *NAMES, shaper, settings))
    assert isinstance(row, dict)
    kept = row["meta"] if meta == "keep" else jsontext.loads(row["meta"].encode())[0]
    assert repr(kept) == repr(ODD)
    assert row["prompt"] == "lone \ud83d"


def test_odd_values_survive_in_the_rest_too():
    pair = replace(PLAIN, response_a="lone \ud83d", meta=ODD, exact=True)
    row, _ = jsontext.loads(rest_row(label(pair, 1.0, 0.0), *NAMES, OutputSettings()))
    assert isinstance(row, dict)
    assert row["pair"]["response_a"] == "lone \ud83d"
    assert repr({name: row["pair"][name] for name in ODD}) == repr(ODD)


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ({"a": 1}, {"a": 2}, True),
        ({"a": 1, "b": "x"}, {"b": "y", "a": 2}, True),
        ({"a": 1}, {"a": 1.0}, False),
        ({"a": 1}, {"a": "1"}, False),
        ({"a": 1}, {"a": True}, False),
        ({"a": 1}, {"a": None}, False),
        ({"a": 1}, {"b": 1}, False),
        ({"a": 1}, {}, False),
        ({"a": [1, 2]}, {"a": [3]}, True),
        ({"a": [1]}, {"a": ["x"]}, False),
        ({"a": [{"b": 1}]}, {"a": [{"b": 2}, {"b": 3}]}, True),
        ({"a": [{"b": 1}]}, {"a": {"b": 1}}, False),
        ({"a": {"b": {"c": 1}}}, {"a": {"b": {"c": "x"}}}, False),
    ],
    ids=str,
)
def test_meta_has_the_same_shape_if_a_loader_types_it_alike(one: object, other: object, alike: bool):
    assert (meta_shape(one) == meta_shape(other)) is alike
    hash(meta_shape(one))
