"""What all rows together show, how findings are told, what is held out, and in which order thumbs come."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aifeedback.training.checks import TextChecks
from aifeedback.training.examples import Demonstration, Example, PreferencePair, Source, Thumb
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


@pytest.mark.parametrize("kind", ["sft", "kto"])
def test_where_every_answer_begins_with_its_prompt_it_is_how_the_data_are_laid_out(kind: Kind) -> None:
    def rows(repeating: int) -> list[Example]:
        texts = [f"What is {n} and\n one?" for n in range(10)]
        answers = [f"What is {n} and one? It is {n + 1}." if n < repeating else "No." for n in range(10)]
        made = zip(texts, answers, range(10), strict=True)
        if kind == "sft":
            return [Demonstration(text, answer, "f", n) for text, answer, n in made]
        return [Thumb(text, answer, n % 2 > 0, "f", n) for text, answer, n in made]

    every = found(rows(10), kind)
    assert codes(every) == ["all_repeat"]
    assert every.errors[0].message.endswith("(10 answers, the first f, line 0)")
    assert codes(found(rows(5), kind)) == ["some_repeat"]
    assert codes(found(rows(1), kind)) == []


def test_one_answer_with_thumbs_up_and_down_is_told() -> None:
    rows = [Thumb("Q", "A", True, "f", 1), Thumb("Q", "B", False, "f", 2), Thumb("Q", " A\u200b\n", False, "f", 3)]
    findings = found(rows, "kto")
    assert [(finding.code, finding.places) for finding in findings.all] == [("opposite", ["f, line 3"])]


def test_of_opposite_pairs_taken_apart_the_second_row_is_told_once() -> None:
    rows = [
        Thumb("Q", text, up, "f", line) for line, good in ((1, "A"), (2, "B")) for text in "AB" for up in [text == good]
    ]
    [finding] = found(rows, "kto").all
    assert (finding.code, finding.count, finding.places) == ("opposite", 1, ["f, line 2"])


def test_copies_are_copies_whatever_the_white_space_at_their_ends() -> None:
    copy = PreferencePair("Question 1? ", "good\n", " bad", 0.9, "f.jsonl", 4)
    assert codes(found([pair(1), pair(2), copy])) == ["duplicate"]


def test_a_worse_answer_that_says_nothing_is_told() -> None:
    assert codes(found([pair(1), pair(2, rejected="\u200b")])) == ["empty_rejected"]
    assert codes(found([thumb(1, up=True), Thumb("Q", "", False, "f", 2)], "kto")) == ["empty_rejected"]


def test_preferences_of_a_half_teach_soft_labels_nothing() -> None:
    def halves(count: int) -> list[Example]:
        return [pair(n, preference=0.5 if n < count else 0.9) for n in range(9)]

    assert codes(found(halves(9), soft=True)) == ["no_doubt_left"]
    assert found(halves(9), soft=True).errors
    assert codes(found(halves(5), soft=True)) == ["mostly_half"]
    assert codes(found(halves(4), soft=True)) == []
    assert codes(found(halves(9))) == [], "plain DPO takes the label as it is"


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


def test_a_row_that_is_two_examples_is_one_row_of_a_finding() -> None:
    findings = Findings()
    for line in (1, 1, 2, 2):
        findings.add("completion_cut", f"f, line {line}", "70 tokens")
    [finding] = findings.all
    assert (finding.count, finding.places) == (2, ["f, line 1: 70 tokens", "f, line 2: 70 tokens"])


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
