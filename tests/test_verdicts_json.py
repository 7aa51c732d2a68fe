"""Verdicts in JSON objects: found wherever they stand, and never completed."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aifeedback.records import PFirst, Reading, Reply, Status, VerdictFormat
from aifeedback.verdicts import read_verdict, reasons

ANSWERS = {"A": PFirst(1.0), "B": PFirst(0.0), "tie": PFirst(0.5)}
FORM = VerdictFormat("json", ANSWERS)
A = '{"analysis": "x", "verdict": "A"}'
B = '{"analysis": "y", "verdict": "B"}'


def read(content: str, form: VerdictFormat = FORM, rung: str = "text") -> Reading:
    return read_verdict(Reply(content, rung=rung), form)


@pytest.mark.parametrize(
    ("content", "method"),
    [
        (A, "json"),
        (f"\ufeff \n{A}\n", "json"),
        (f"```json\n{A}\n```", "fenced"),
        (f"```\n{A}\n```\nDone.", "fenced"),
        (f"~~~ JSON\n{A}\n~~~", "fenced"),
        (f"Here it is: {A} That is all.", "embedded"),
        (f"The set {{x | x > 1}} and {{}} and {{name}}. {A}", "embedded"),
        (json.dumps(A), "double"),
        (json.dumps(json.dumps(A)), "double"),
        ('{"analysis": "x", "verdict": "A",}', "embedded"),
        ('{"analysis": "x", "verdict": "A" , // the end\n }', "embedded"),
        ('{"analysis": "x", /* and\n*/ "verdict": "A"}', "embedded"),
        ('{// first\n"verdict": "A"}', "embedded"),
        ("{'analysis': None, 'verdict': 'A', 'sure': True}", "embedded"),
        ("{'analysis': 'it\\'s \"so\" {', 'verdict': 'A'}", "embedded"),
        ('{"analysis": "a\nb\tc", "verdict": "A"}', "json"),
        ('{"analysis": "// no /* comment, }", "verdict": "A",}', "embedded"),
        ('{"verdict": "A"}', "json"),
        ('{"VERDICT ": "a"}', "json"),
        ('{"result": {"analysis": "x", "verdict": "A"}}', "json"),
        ('{"result": [{"verdict": "A"}], "n": 1}', "json"),
        ('{"properties": {"analysis": "x", "verdict": "A"}}', "json"),
        (f"[{A}]", "json"),
        (f"{B} [1, {A}]", "embedded"),
        (f'{{"analysis": "the form was {{}}"}} {A}', "embedded"),
        ('{"analysis": 1 2} ' + A, "embedded"),
        ('{"analysis": "x" "verdict": "B"} ' + A, "embedded"),
        ('{"verdict": "A", "verdict": "A"}', "json"),
        ('{"verdict": "A", "x": 1, "x": 2}', "json"),
        ("A", "bare"),
        ('"A"', "bare"),
        ("**Verdict:** A.", "bare"),
    ],
)
def test_an_object_is_found(content: str, method: str):
    reading = read(content)
    assert (reading.p_first, reading.method, reading.status) == (1.0, method, None)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ('{"analysis": "x", "verdict": "A"', reasons.BROKEN_OBJECT),
        ('{"analysis": "x", "verdict": "A', reasons.BROKEN_OBJECT),
        ('{"result": {"analysis": "x", "verdict": "A"}, "sure', reasons.BROKEN_OBJECT),
        ("{'analysis': 'x', 'verdict': 'A", reasons.BROKEN_OBJECT),
        ('{"analysis": "it says {"verdict": "A"} here", "verdict": "B"}', reasons.BROKEN_OBJECT),
        (A + ' {"verdict": B', reasons.BROKEN_OBJECT),
        ('{"verdict": "A" or "B"}', reasons.BROKEN_OBJECT),
        ("{'analysis': 'x\\\\\", \"verdict\": \"A', 'verdict': 'D'}", reasons.NOT_OFFERED),
        ('{"analysis": "x', "no JSON object with"),
        ('{"analysis": "{\\"verdict\\": \\"A\\"}"}', "no JSON object with"),
        ('{"analysis": {"verdict": "A"}}', "no JSON object with"),
        ('{"example": {"verdict": "A"}}', "no JSON object with"),
        ('{"x": {"y": {"verdict": "A"}}}', "no JSON object with"),
        ('{"type": "object", "properties": {"verdict": {"enum": ["A", "B"]}}}', "no JSON object with"),
        ("The verdict is A because it is better.", "no JSON object with"),
        ("[1, 2]", "no JSON object with"),
        ("17", "no JSON object with"),
        ('{"verdict": null}', reasons.WRONG_TYPE),
        ('{"verdict": 1}', reasons.WRONG_TYPE),
        ('{"verdict": true}', reasons.WRONG_TYPE),
        ('{"verdict": ["A"]}', reasons.WRONG_TYPE),
        ('{"verdict": {"value": "A"}}', reasons.WRONG_TYPE),
        ('{"verdict": "D"}', reasons.NOT_OFFERED),
        ('{"verdict": ""}', reasons.NOT_OFFERED),
        ('{"verdict": "A better one"}', reasons.NOT_OFFERED),
        ('{"verdict": "A?"}', reasons.NOT_OFFERED),
        (json.dumps({"verdict": "A" * 500}), reasons.NOT_OFFERED),
        ('{"verdict": "A or B"}', reasons.SEVERAL),
        ('{"verdict": "A|B|tie"}', reasons.SEVERAL),
        ('{"verdict": "A", "verdict": "B"}', reasons.REPEATED_FIELD),
        ('{"verdict": "A", "Verdict": "B"}', reasons.REPEATED_FIELD),
        ('{"analysis": "so Response B is better", "verdict": "A"}', reasons.CONTRADICTS_REASONING),
    ],
)
def test_what_is_no_verdict_has_its_own_reason(content: str, why: str):
    reading = read(content)
    assert (reading.p_first, reading.status) == (None, Status.UNPARSED)
    assert reading.why.startswith(why)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        *[(text, 1.0) for text in ("A", "a", " A ", "A.", "(A)", "[[A]]", "**A**", '"A"', "`A`", "Ａ", "Response A")],
        *[
            (text, 1.0)
            for text in ("response_a", "Option A.", "Answer: A", "Verdict: **A**", "Final answer: Option (A)")
        ],
        *[(text, 0.5) for text in ("tie", "Tie", "TIE!", "[Tie]")],
        *[(text, None) for text in ("equal", "AB", "A, B", "not A", "A-", "Response", "C", "none", "first")],
    ],
)
def test_only_an_answer_that_was_offered_counts_however_it_is_dressed(answer: str, expected: float | None):
    assert read(json.dumps({"analysis": "", "verdict": answer})).p_first == expected


@pytest.mark.parametrize(
    ("which", "content", "expected"),
    [
        ("last", A + B, 0.0),
        ("first", A + B, 1.0),
        ("agreeing", A + B, None),
        ("agreeing", A + A.replace("x", "z"), 1.0),
        ("last", f"[{A}, {B}]", 0.0),
        ("last", A + '{"note": 1}', 1.0),
        ("last", A + '{"verdict": "D"}', None),
        ("first", A + '{"verdict": "D"}', 1.0),
        ("first", '{"verdict": "D"' + "}" + A, None),
        ("first", A + '{"verdict": oops}', 1.0),
        ("first", '{"verdict": oops}' + A, None),
        ("last", '{"verdict": oops}' + A, 1.0),
        ("agreeing", A + '{"verdict": oops}', None),
    ],
)
def test_of_several_objects_the_format_decides(which: str, content: str, expected: float | None):
    assert read(content, VerdictFormat("json", ANSWERS, which=which)).p_first == expected


@pytest.mark.parametrize("rung", ["json_schema", "json_object"])
def test_the_method_names_the_rung_where_the_reply_kept_to_it(rung: str):
    assert read(A, rung=rung).method == rung
    assert read(f"<think>x</think>{A}", rung=rung).method == rung
    assert read(f"Well: {A}", rung=rung).method == "embedded"


def test_fields_have_the_names_that_the_template_gave_them():
    form = VerdictFormat("json", {"1": PFirst(1.0), "2": PFirst(0.0)}, reasoning_field="why", answer_field="best")
    assert read('{"why": "So.", "best": "Response 2"}', form) == Reading(PFirst(0.0), "json", "So.")
    assert read('{"why": "So.", "best": 1}', form).p_first == 1.0
    assert read("2", form).p_first == 0.0
    assert read('{"verdict": "1"}', form).why == 'no JSON object with "best"'


def test_answers_that_only_dress_tells_apart_must_be_spelled_as_offered():
    form = VerdictFormat("json", {"A": PFirst(1.0), "(A)": PFirst(0.0)})
    assert [read(json.dumps({"verdict": text}), form).p_first for text in ("A", "(A)", "[A]")] == [1.0, 0.0, None]


@pytest.mark.parametrize(
    ("reasoning", "words"),
    [('"x"', "x"), ("null", ""), ('["a", "b"]', '["a", "b"]'), ("[" * 900 + "]" * 900, "["), ('{"a": 1}', '{"a": 1}')],
)
def test_reasoning_of_any_type_becomes_words(reasoning: str, words: str):
    reading = read(f'{{"analysis": {reasoning}, "verdict": "A"}}')
    assert reading.p_first is None or reading.reason.startswith(words)


@given(analysis=st.text(), verdict=st.sampled_from(["A", "B", "tie"]), escaped=st.booleans())
def test_whatever_the_analysis_holds_a_complete_object_is_read(analysis: str, verdict: str, *, escaped: bool):
    reading = read(json.dumps({"analysis": analysis, "verdict": verdict}, ensure_ascii=escaped))
    assert reading.p_first == ANSWERS[verdict] or reading.why == reasons.CONTRADICTS_REASONING
    assert reading.reason == analysis


@given(st.text(max_size=60), st.sampled_from(["A", "B"]), st.data())
def test_an_object_that_was_cut_anywhere_is_never_completed(analysis: str, verdict: str, data: st.DataObject):
    for whole in (
        json.dumps({"analysis": analysis, "verdict": verdict}),
        repr({"analysis": analysis, "verdict": verdict}),
    ):
        cut = data.draw(st.integers(0, len(whole) - 1))
        assert read(whole[:cut]).p_first is None


@given(st.text(max_size=60), st.sampled_from(["A", "B"]))
def test_a_python_dict_is_read_as_what_it_says_or_not_at_all(analysis: str, verdict: str):
    assert read(repr({"analysis": analysis, "verdict": verdict})).p_first in {ANSWERS[verdict], None}


def test_an_object_too_large_to_be_mended_is_broken():
    assert read('{"analysis": "' + "x" * 200_000 + '", "verdict": "A",}').why.startswith(reasons.BROKEN_OBJECT)


def test_nesting_of_any_depth_is_survived():
    for depth in [*range(900, 1000, 3), 5_000, 100_000]:
        nested = "[" * depth + "]" * depth
        assert read(f'{{"analysis": {nested}, "verdict": "A"}}').p_first in {1.0, None}
        assert read(f'{{"verdict": {nested}, "verdict": {nested}}}').p_first is None
