"""A verdict against the last sentence of its own reasoning is unreadable; nothing less than that is."""

from __future__ import annotations

import json

import pytest

from aifeedback.records import PFirst, Reply, VerdictFormat
from aifeedback.verdicts import read_verdict, reasons

JSON = VerdictFormat("json", {"A": PFirst(1.0), "B": PFirst(0.0), "tie": PFirst(0.5)})
TAGS = VerdictFormat("tags", {"[[A]]": PFirst(1.0), "[[B]]": PFirst(0.0), "[[C]]": PFirst(0.5)})

B_WINS = [
    "Response B is better.",
    "Response B is clearly better.",
    "A invents a source, so Response B is better.",
    "A invents a source so Response B is much better overall.",
    "A is rude. Therefore, Response B is slightly better.",
    "A is rude.\nOverall: response b is the winner.",
    "A is rude. In conclusion, Assistant B wins.",
    "A is rude. **Response B is the better response.**",
    "I think Response B is preferable because it cites sources.",
    "It is clear that Response B is superior.",
    "Overall, B is better.",
    "For these reasons, Response B is better than Response A.",
    "A omits the dose and thus Response (B) is preferred.",
    "Although A is longer, overall Response B is better.",
]
NOT_PLAIN = [
    "",
    "Response A is better.",
    "Response B is not better.",
    "Response B is better written.",
    "Response B is better in style.",
    "In terms of style, Response B is better.",
    "Stylistically, Response B is better.",
    "Response B is better. But its facts are wrong.",
    "Response B is better, but it invents a source.",
    "Response B is better because it is short, although its facts are wrong.",
    "If style counts, Response B is better.",
    "Response B is better if style counts.",
    "Although Response B is better, it is too long.",
    "Although it is long, Response B is better.",
    "Some would say Response B is better.",
    "I do not think Response B is better.",
    "It is hard to say that Response B is better.",
    "Neither is perfect; it is unclear whether Response B is better.",
    "Which Response B is better?",
    "Response B is worse.",
    "Response B's tone is better.",
    "Response B would be better.",
    "B offers the better example.",
    "Plan b is better.",
    "The user asks which plan is best.",
    "Response A is better than Response B is better.",
]


def readings(reasoning: str, verdict: str, tag: str) -> list[tuple[float | None, str]]:
    texts = (json.dumps({"analysis": reasoning, "verdict": verdict}), JSON), (f"{reasoning}\n\nVerdict: {tag}", TAGS)
    return [(reading.p_first, reading.why) for text, form in texts for reading in [read_verdict(Reply(text), form)]]


@pytest.mark.parametrize("reasoning", B_WINS)
def test_a_plain_last_claim_must_be_the_verdict(reasoning: str):
    assert readings(reasoning, "A", "[[A]]") == [(None, reasons.CONTRADICTS_REASONING)] * 2
    assert readings(reasoning, "tie", "[[C]]") == [(None, reasons.CONTRADICTS_REASONING)] * 2
    assert readings(reasoning, "B", "[[B]]") == [(0.0, "")] * 2


@pytest.mark.parametrize("reasoning", NOT_PLAIN)
def test_anything_less_plain_is_left_alone(reasoning: str):
    assert readings(reasoning, "A", "[[A]]") == [(1.0, "")] * 2


def test_answers_that_are_words_are_known_by_their_place():
    form = VerdictFormat("json", {"first": PFirst(1.0), "second": PFirst(0.0)})
    text = '{"analysis": "So the second response is better.", "verdict": "first"}'
    assert read_verdict(Reply(text), form).why == reasons.CONTRADICTS_REASONING


def test_answers_that_are_signs_are_not_looked_for():
    form = VerdictFormat("tags", {"[[A>B]]": PFirst(0.75), "[[B>A]]": PFirst(0.25)})
    assert read_verdict(Reply("So Response B is better. [[A>B]]"), form).p_first == 0.75


def test_only_the_end_of_long_reasoning_counts():
    assert readings("Response B is better. " + "It says more. " * 100, "A", "[[A]]") == [(1.0, "")] * 2
