"""What all rows together show, how findings are told, what is held out, and in which order thumbs come."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aifeedback.records import Message
from aifeedback.training.checks import TextChecks
from aifeedback.training.examples import Example, PreferencePair, Source, Thumb
from aifeedback.training.findings import WORDINGS, Findings
from aifeedback.training.interleaving import interleaved, weights
from aifeedback.training.settings import Kind


def pair(number: int, chosen: str = "good", rejected: str = "bad", preference: float | None = 0.9) -> PreferencePair:
    return PreferencePair(f"Question {number}?", chosen, rejected, preference, "f.jsonl", number)


def thumb(number: int, *, up: bool) -> Thumb:
    return Thumb(f"Question {number}?", f"answer {number}", up, "f.jsonl", number)


def found(examples: Sequence[Example], kind: Kind = "dpo", *, soft: bool = False) -> Findings:
    checks = TextChecks(kind, soft=soft)
    for example in examples:
        checks.see(example)
    checks.finish()
    return checks.findings


def codes(findings: Findings) -> list[str]:
    return [finding.code for finding in findings.all]


def test_data_without_fault_have_no_findings() -> None:
    assert codes(found([pair(number) for number in range(20)], soft=True)) == []


def test_a_pair_and_its_mirror_image_are_told_with_the_place_of_the_second() -> None:
    [finding] = found([pair(1), pair(2), PreferencePair("Question 1?", "bad", "good", 0.8, "f.jsonl", 9)]).all
    assert (finding.code, finding.count, finding.places) == ("opposite", 1, ["f.jsonl, line 9"])


def test_copies_are_counted() -> None:
    [finding] = found([replace(pair(1), line=line) for line in (1, 2, 3)]).all
    assert (finding.code, finding.count) == ("duplicate", 2)


def test_a_preference_below_a_half_is_told_with_its_number() -> None:
    [finding] = found([pair(1), pair(2, preference=0.2)]).all
    assert finding.line().startswith("Warning: 1 row: a preference below 0.5")
    assert "[f.jsonl, line 2: 0.2]" in finding.line()


def test_longer_answers_chosen_too_often_are_told_with_the_share() -> None:
    pairs = [pair(n, "a long answer", "short") for n in range(45)] + [
        pair(n, "short", "a long one") for n in range(45, 60)
    ]
    [finding] = found(pairs).all
    assert finding.code == "length"
    assert "75% of 60 pairs" in finding.message


def test_both_halves_of_a_row_are_one_row_of_a_finding() -> None:
    findings = Findings()
    for line in (1, 1, 2):
        findings.add("vocabulary", f"f, line {line}")
    assert findings.all[0].count == 2


@pytest.mark.parametrize("count", [10, 49])
def test_few_pairs_say_nothing_of_length(count: int) -> None:
    assert codes(found([pair(n, "a long answer", "short") for n in range(count)])) == []


def test_strings_among_messages_are_an_error_that_names_the_first() -> None:
    turns = PreferencePair(
        (Message("user", "Q"),), (Message("assistant", "a"),), (Message("assistant", "b"),), 0.9, "f.jsonl", 8
    )
    findings = found([pair(1), pair(2), turns])
    assert codes(findings) == ["mixed_file"]
    assert "1 rows of messages, the first f.jsonl, line 8; 2 of strings" in findings.errors[0].message


def test_soft_labels_need_preferences_and_some_doubt() -> None:
    assert codes(found([pair(1, preference=None), pair(2)], soft=True)) == ["no_preference"]
    assert codes(found([pair(1, preference=1.0), pair(2, preference=1.0)], soft=True)) == ["plain_dpo"]
    assert codes(found([pair(1, preference=None), pair(2, preference=1.0)])) == []


@pytest.mark.parametrize("up", [True, False])
def test_thumbs_that_all_point_one_way_are_an_error(up: bool) -> None:
    assert codes(found([thumb(n, up=up) for n in range(5)], "kto")) == ["one_sided"]


def test_labels_of_two_critics_in_one_run_are_told_by_name() -> None:
    one, other = (Source(name, "pairwise@1", "helpful") for name in ("a/x", "b/y"))
    rows = [PreferencePair(f"Q{n}", "a", "b", 1.0, "f", n, source=one if n % 2 else other) for n in range(4)]
    [finding] = found(rows).all
    assert "critic: a/x, b/y" in finding.line()


def test_findings_are_told_errors_first_and_with_three_places() -> None:
    findings = Findings()
    for line in range(1, 6):
        findings.add("duplicate", f"f, line {line}")
        findings.add("same", f"f, line {line}")
    assert [finding.wording.severity for finding in findings.all] == ["error", "warning"]
    assert findings.all[0].line() == (
        "Error: 5 rows: chosen and rejected are the same, so there is nothing to learn [f, line 1; f, line 2; f, line 3; …]. Remove the row."
    )
    assert findings.as_json()[0]["examples"] == ["f, line 1", "f, line 2", "f, line 3"]


def test_every_wording_is_a_clause_and_an_advice() -> None:
    for code, wording in WORDINGS.items():
        assert not wording.message.endswith("."), code
        assert wording.advice.endswith("."), code


@given(up=st.integers(1, 60), down=st.integers(1, 60), seed=st.integers(0, 9))
def test_every_stretch_of_thumbs_has_about_the_same_share_of_ups(up: int, down: int, seed: int) -> None:
    thumbs = [thumb(n, up=True) for n in range(up)] + [thumb(n, up=False) for n in range(up, up + down)]
    order = interleaved(thumbs, seed)
    assert sorted(order, key=lambda t: t.line) == sorted(thumbs, key=lambda t: t.line)
    share, ups = up / (up + down), 0
    for place, each in enumerate(order, 1):
        ups += isinstance(each, Thumb) and each.up
        assert abs(ups - share * place) <= 1.0001


@pytest.mark.parametrize(
    ("up", "down", "expected"),
    [(10, 10, (1.0, 1.0)), (12, 10, (1.0, 1.0)), (30, 10, (1.0, 3.0)), (10, 40, (4.0, 1.0)), (5, 0, (1.0, 1.0))],
)
def test_the_rarer_thumbs_count_more(up: int, down: int, expected: tuple[float, float]) -> None:
    assert weights([thumb(n, up=n < up) for n in range(up + down)]) == pytest.approx(expected)


@given(st.text(st.characters(codec=None)), st.text(st.characters(codec=None)))
def test_whatever_the_data_say_a_finding_stays_one_printable_line(place: str, detail: str) -> None:
    findings = Findings()
    findings.add("missing", place, detail)
    findings.say("mixed_sources", detail)
    assert all(finding.line().isprintable() for finding in findings.all)
    json.dumps(findings.as_json(), ensure_ascii=False).encode()
