"""Several responses to one prompt, plain or rated, and which pairs are made of them."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from aifeedback.errors import InputError, SettingsError
from aifeedback.forms import to_pairs
from aifeedback.records import Message, Pair
from aifeedback.settings import InputSettings, PairsOf


def pairs(record: Mapping[str, object], which: PairsOf = "all") -> list[Pair]:
    return to_pairs(record, InputSettings(pairs=which), file="f", line=4)


def scored(*scores: object) -> dict[str, object]:
    return {
        "id": "q",
        "prompt": "p",
        "responses": [{"text": f"r{n}", "score": score} for n, score in enumerate(scores)],
    }


def rated(*completions: object) -> dict[str, object]:
    return {"id": "q", "instruction": "i", "completions": list(completions)}


@pytest.mark.parametrize(
    ("which", "ids"),
    [
        ("all", ["q#0-1", "q#0-2", "q#0-3", "q#1-2", "q#1-3", "q#2-3"]),
        ("adjacent", ["q#0-1", "q#1-2", "q#2-3"]),
        ("best-worst", ["q#1-3"]),
    ],
)
def test_pairs_are_named_by_the_places_of_their_responses(which: PairsOf, ids: list[str]):
    found = pairs(scored(2, 1, 3, 5), which)
    assert [pair.id for pair in found] == ids
    assert [f"q#{pair.response_a}-{pair.response_b}".replace("r", "") for pair in found] == ids


@pytest.mark.parametrize(
    ("scores", "pair_id"),
    [
        ((1, 2), "q#0-1"),
        ((2, 1), "q#0-1"),
        ((3, 3, 1, 1), "q#0-3"),
        ((1, 3, 3, 1), "q#1-3"),
        ((-1.5, 10**400, 0), "q#0-1"),
    ],
)
def test_of_equal_scores_the_first_is_best_and_the_last_is_worst(scores: tuple[float, ...], pair_id: str):
    assert [pair.id for pair in pairs(scored(*scores), "best-worst")] == [pair_id]


def test_without_a_best_the_row_is_refused():
    with pytest.raises(InputError, match="f, line 4: all scores are equal"):
        pairs(scored(1, 1.0, 1), "best-worst")


@pytest.mark.parametrize(
    "record", [scored(1, None), {"prompt": "p", "responses": ["x", "y"]}, rated({"response": "x"}, {"response": "y"})]
)
def test_a_missing_score_is_a_matter_of_settings_with_its_place(record: dict[str, object]):
    with pytest.raises(SettingsError, match=r"^f, line 4: response [01] \(from 0\) has no score"):
        pairs(record, "best-worst")
    assert len(pairs(record)) == 1


def test_candidates_may_be_text_messages_or_objects():
    turns = [{"role": "assistant", "content": "t"}]
    record = {
        "prompt": "p",
        "responses": ["x", turns, {"text": turns, "model": "m", "score": 1, "tokens": 9}],
        "gold": "a",
        "n": 1,
    }
    one, two, three = pairs(record)
    assert (one.response_a, one.response_b) == ("x", (Message("assistant", "t"),))
    assert (two.model_a, two.model_b, two.response_b) == ("", "m", (Message("assistant", "t"),))
    assert one.meta == {"gold": "a", "n": 1}
    assert two.meta == three.meta == {"gold": "a", "n": 1, "response_b": {"tokens": 9}}
    assert one.id.removesuffix("#0-1") == two.id.removesuffix("#0-2")


def test_rows_without_an_id_are_named_by_all_of_their_responses():
    def name(*responses: str) -> str:
        return pairs({"prompt": "p", "responses": responses and list(responses)})[0].id

    assert name("x", "y", "z") != name("x", "y", "w")


@pytest.mark.parametrize(
    ("responses", "says"),
    [
        ("x", '"responses" must be a list, not text'),
        ([], '"responses" holds 0 of the 2 or more'),
        (["x"], '"responses" holds 1 of the 2 or more'),
        (["x", 5], '"responses[1]" must be text or a list of messages, not a number'),
        (["x", None], '"responses[1]" must be text or a list of messages, not null'),
        (["x", {"role": "assistant", "content": "c"}], '"responses[1]" has no "text"'),
        (["x", {"text": 1}], '"responses[1].text" must be text'),
        (["x", {"text": "y", "model": 1}], '"responses[1].model" must be text, not a number'),
        (["x", {"text": "y", "score": "5"}], '"responses[1].score" must be a number, not text'),
        (["x", {"text": "y", "score": True}], '"responses[1].score" must be a number, not true or false'),
        (["x", {"text": "y", "score": float("nan")}], '"responses[1].score" must be a number'),
    ],
    ids=str,
)
def test_a_candidate_that_is_none_is_named(responses: object, says: str):
    with pytest.raises(InputError) as caught:
        pairs({"prompt": "p", "responses": responses})
    assert says in str(caught.value)


def ratings(*values: object) -> dict[str, object]:
    return {f"aspect{number}": {"Rating": value, "Rationale": "…"} for number, value in enumerate(values)}


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({"overall_score": 8}, {"overall_score": "7.5"}),
        ({"overall_score": 2, "fine-grained_score": 1}, {"overall_score": 1, "fine-grained_score": 9}),
        ({"overall_score": "N/A", "fine-grained_score": 4}, {"fine-grained_score": 3, "annotations": ratings(9)}),
        ({"annotations": ratings("5", "N/A", 4)}, {"annotations": ratings("4", "4", None)}),
        ({"annotations": {**ratings(5), "notes": ["x"]}}, {"annotations": ratings(True, "2")}),
        ({"overall_score": float("inf"), "fine-grained_score": 4}, {"overall_score": 1}),
        ({"overall_score": 10**400, "fine-grained_score": 4}, {"overall_score": 1}),
    ],
)
def test_the_score_is_the_overall_one_else_the_fine_grained_else_the_mean_rating(
    better: dict[str, object], worse: dict[str, object]
):
    known = [{"response": "low", "overall_score": -9}, {"response": "high", "overall_score": 99}]
    (with_low,) = pairs(rated({"response": "w", **worse}, {"response": "b", **better}, known[0]), "best-worst")
    (with_high,) = pairs(rated(known[1], {"response": "w", **worse}, {"response": "b", **better}), "best-worst")
    assert (with_low.response_a, with_high.response_b) == ("b", "w")
    equal = rated({"response": "w", **better}, {"response": "b", **better})
    with pytest.raises(InputError, match="equal"):
        pairs(equal, "best-worst")


def test_ultrafeedback_rows_come_as_pairs_with_models():
    record = {
        **rated({"response": "x", "model": "m", "critique": "c"}, {"response": "y", "model": None}),
        "source": "s",
        "models": ["m"],
    }
    (found,) = pairs(record)
    assert (found.id, found.prompt, found.response_a, found.response_b) == ("q#0-1", "i", "x", "y")
    assert (found.model_a, found.model_b, found.gold) == ("m", "", "")
    assert found.meta == {"source": "s", "models": ["m"]}


@pytest.mark.parametrize(
    ("completions", "says"),
    [
        ({}, '"completions" must be a list, not an object'),
        ([{"response": "x"}], '"completions" holds 1 of the 2 or more'),
        ([{"response": "x"}, {"text": "y"}], '"completions[1]" has no "response"'),
        ([{"response": "x"}, "y"], '"completions[1]" has no "response"'),
        ([{"response": "x"}, {"response": 1}], '"completions[1].response" must be text'),
        ([{"response": "x"}, {"response": "y", "model": []}], '"completions[1].model" must be text'),
    ],
    ids=str,
)
def test_a_completion_that_is_none_is_named(completions: object, says: str):
    with pytest.raises(InputError) as caught:
        pairs({"instruction": "i", "completions": completions})
    assert says in str(caught.value)
