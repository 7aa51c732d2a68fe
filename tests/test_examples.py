"""The example files that come with the project are whole, valid and varied."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
FILES = ["pairs.jsonl", "adversarial.jsonl"]


def records(name: str) -> list[dict[str, object]]:
    text = (EXAMPLES / name).read_text(encoding="utf-8")
    assert text.endswith("\n")
    return [json.loads(line) for line in text[:-1].split("\n")]


@pytest.fixture(params=FILES)
def pairs(request: pytest.FixtureRequest) -> list[dict[str, object]]:
    return records(request.param)


def is_dialogue(prompt: object) -> bool:
    return isinstance(prompt, list) and len(prompt) > 1


def test_every_line_is_a_pair_with_its_required_fields(pairs: list[dict[str, object]]):
    for pair in pairs:
        assert {"id", "prompt", "response_a", "response_b", "gold"} <= pair.keys()
        assert isinstance(pair["response_a"], str)
        assert isinstance(pair["response_b"], str)
        assert pair["prompt"]
        assert pair["gold"] in {"a", "b", "tie"}


def test_dialogues_alternate_and_end_with_the_user(pairs: list[dict[str, object]]):
    for pair in pairs:
        if isinstance(pair["prompt"], list):
            roles = [turn["role"] for turn in pair["prompt"]]
            assert roles == ["user", "assistant"] * (len(roles) // 2) + ["user"], pair["id"]
            assert all(turn["content"] for turn in pair["prompt"])


def test_ids_are_unique(pairs: list[dict[str, object]]):
    assert max(Counter(pair["id"] for pair in pairs).values()) == 1


def test_the_first_pair_is_a_dialogue_so_that_the_output_is_in_messages(pairs: list[dict[str, object]]):
    assert is_dialogue(pairs[0]["prompt"])


def test_fields_of_ones_own_have_one_type_throughout(pairs: list[dict[str, object]]):
    assert all(isinstance(pair["topic"], str) and pair["topic"] for pair in pairs)


def test_optional_fields_are_given_as_the_contract_says():
    for pair in records("pairs.jsonl"):
        assert all(
            isinstance(pair.get(name, ""), str) for name in ("system", "reference", "model_a", "model_b", "note")
        )
        if votes := pair.get("votes"):
            assert isinstance(votes, list)
            gold, count = Counter(votes).most_common(1)[0]
            assert gold == pair["gold"]
            assert count * 2 > len(votes)


def test_there_are_enough_pairs_of_every_kind():
    pairs = records("pairs.jsonl")
    assert len(pairs) >= 28
    assert sum(is_dialogue(pair["prompt"]) for pair in pairs) >= 5
    assert sum("system" in pair for pair in pairs) >= 3
    assert sum("reference" in pair for pair in pairs) >= 5
    assert sum("votes" in pair for pair in pairs) >= 20
    assert sum("model_a" in pair and "model_b" in pair for pair in pairs) >= 10
    assert sum(pair["response_a"] == pair["response_b"] for pair in pairs) == 1
    assert sum("" in (pair["response_a"], pair["response_b"]) for pair in pairs) == 1
    assert len({pair["topic"] for pair in pairs}) >= 10


def test_the_adversarial_pairs_are_many_varied_and_balanced():
    pairs = records("adversarial.jsonl")
    golds = Counter(pair["gold"] for pair in pairs)
    assert len(pairs) >= 60
    assert golds["a"] == golds["b"] == len(pairs) / 2
    assert len({pair["trap"] for pair in pairs}) >= 8
    assert len({str(pair["prompt"]) for pair in pairs}) == len(pairs)
