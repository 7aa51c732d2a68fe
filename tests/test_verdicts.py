"""From a whole reply to a reading: what ended it, what it thought, what it says, and how it is written."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aifeedback.records import PFirst, Reading, Reply, Status, Usage, VerdictFormat
from aifeedback.verdicts import read_verdict, reasons, write_answer


def answers(meanings: dict[str, float]) -> dict[str, PFirst]:
    return {answer: PFirst(p_first) for answer, p_first in meanings.items()}


LETTER = VerdictFormat("letter", answers({"A": 1.0, "B": 0.0, "C": 0.5}))
FIVE = {"[[A>>B]]": 1.0, "[[A>B]]": 0.75, "[[A=B]]": 0.5, "[[B>A]]": 0.25, "[[B>>A]]": 0.0}
FORMATS = {
    "json": VerdictFormat("json", answers({"A": 1.0, "B": 0.0, "tie": 0.5})),
    "letter": LETTER,
    "tags": VerdictFormat("tags", answers({"[[A]]": 1.0, "[[B]]": 0.0, "[[C]]": 0.5})),
    "arena": VerdictFormat("tags", answers(FIVE), which="agreeing", soft=False),
    "claim": VerdictFormat("claim", answers({"Output (a)": 1.0, "Output (b)": 0.0})),
    "pattern": VerdictFormat("pattern", answers({"A": 1.0, "B": 0.0}), pattern=r"Verdict:\s*(\S+)"),
}
SAYABLE = [
    (name, place)
    for name in ("json", "letter", "tags", "arena", "claim")
    for place in ("first", "second", "tie")
    if (name, place) != ("claim", "tie")
]
OBJECT = '{"analysis": "A is right.", "verdict": "A"}'
CORPUS = [
    pytest.param(FORMATS[path.stem], row, id=f"{path.stem}: {row['name']}")
    for path in sorted((Path(__file__).parent / "corpus" / "replies").glob("*.jsonl"))
    for row in map(json.loads, path.read_text("utf-8").splitlines())
]


def reply_of(fields: dict[str, str | int]) -> Reply:
    texts = {name: str(value) for name, value in fields.items() if name != "usage_output"}
    return Reply(**{"content": "", **texts}, usage=Usage(output=int(fields.get("usage_output", 0))))


def read(name: str, content: str, **fields: str) -> Reading:
    return read_verdict(Reply(content, **fields), FORMATS[name])


@pytest.mark.parametrize(("form", "row"), CORPUS)
def test_a_reply_is_read_as_a_person_reads_it(form: VerdictFormat, row: dict[str, dict[str, object]]):
    reading = read_verdict(reply_of(row["reply"]), form)
    expected = row["expected"]
    if "p_first" in expected:
        assert (reading.p_first, reading.method) == (expected["p_first"], expected["method"])
        assert reading.status is None
        assert not reading.why
    else:
        assert reading.p_first is None
        assert reading.status == expected["status"]
        assert reading.why == expected["why"] or reading.why.startswith(f"{expected['why']}: ")


class TestWhatEndedTheReply:
    @pytest.mark.parametrize("ending", ["length", "max_tokens", "MAX_TOKENS", "model_length"])
    def test_a_reply_that_was_cut_off_is_not_read_even_if_a_verdict_stands_in_it(self, ending: str):
        reading = read("json", OBJECT, finish_reason=ending)
        assert (reading.p_first, reading.status) == (None, Status.UNPARSED)
        assert reading.why == reasons.CUT_OFF

    @pytest.mark.parametrize("ending", ["content_filter", "SAFETY", "recitation", "refusal"])
    def test_a_filtered_reply_is_refused(self, ending: str):
        assert read("json", OBJECT, finish_reason=ending).status is Status.REFUSED

    @pytest.mark.parametrize("ending", ["error", "abort", "incomplete"])
    def test_a_reply_that_broke_off_has_failed(self, ending: str):
        reading = read("json", OBJECT, finish_reason=ending)
        assert (reading.status, reading.why) == (Status.FAILED, f"{reasons.FAILED}: {ending}")

    @pytest.mark.parametrize("ending", ["", "stop", "end_turn", "eos", "STOP", "tool_calls", "something_new"])
    def test_any_other_ending_is_an_ending(self, ending: str):
        assert read("json", OBJECT, finish_reason=ending).p_first == 1.0

    def test_a_refusal_of_its_own_outweighs_the_content(self):
        reading = read("json", OBJECT, refusal="I won't.")
        assert (reading.status, reading.why) == (Status.REFUSED, "the critic refused: I won't.")

    def test_being_cut_off_comes_before_a_refusal(self):
        assert read("json", "", refusal="I wo", finish_reason="length").status is Status.UNPARSED


class TestThinking:
    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            ("<think>B</think>A", 1.0),
            ("<THINKING>B</THINKING>\nA", 1.0),
            ("<think >B</think >A", 1.0),
            ('<think effort="high">B</think>A', 1.0),
            ("<reasoning>B</reasoning>A", 1.0),
            ("<seed:think>B</seed:think>A", 1.0),
            ("[THINK]B[/THINK]A", 1.0),
            ("◁think▷B◁/think▷A", 1.0),
            ("<|begin_of_thought|>B<|end_of_thought|>A", 1.0),
            ("B</think>A", 1.0),
            ("B</think>B</think>A", 1.0),
            ("<think>B</think><think>C</think>A", 1.0),
            ("A<think>or B?</think>", 1.0),
            ("<think>B<think>C</think>B</think>A", 1.0),
            ("<think>\n<think>\nB</think>A", 1.0),
            ("<think/>A", 1.0),
            ("<|channel|>analysis<|message|>B<|end|><|start|>assistant<|channel|>final<|message|>A<|return|>", 1.0),
            ("<|channel|>final <|constrain|>json<|message|>A", 1.0),
            ("<|channel|>analysis<|message|>A<|end|>", None),
            ("<|channel|>oops A", None),
            ("<think>A", None),
            ("A<think>", None),
            ("<think>B<think>C</think>A", None),
            ("<think>A</think>", None),
        ],
    )
    def test_only_what_is_said_outside_of_it_counts(self, content: str, expected: float | None):
        reading = read("letter", content)
        assert reading.p_first == expected
        assert expected is not None or reading.why in {reasons.INSIDE_THINKING, reasons.ONLY_THINKING}

    def test_a_tag_inside_a_json_string_is_data(self):
        assert read("json", '{"analysis": "A prints </think> and <think>", "verdict": "B"}').p_first == 0.0

    def test_thinking_is_not_part_of_the_reason(self):
        assert read("tags", "<think>secret</think>A is right. [[A]]").reason == "A is right. [[A]]"


class TestAnAnswerBesideAnEmptyContent:
    @pytest.mark.parametrize(
        ("name", "reasoning", "expected", "method"),
        [
            ("json", OBJECT, 1.0, "reasoning:json"),
            ("json", f"Hm.\n```json\n{OBJECT}\n```", 1.0, "reasoning:json"),
            ("json", f"{OBJECT} or rather not", None, ""),
            ("json", '{"verdict": "A"}', None, ""),
            ("json", '{"analysis": "", "verdict": "D"}', None, ""),
            ("json", '{"analysis": "no verdict"}', None, ""),
            ("json", f"[{OBJECT}]", None, ""),
            ("json", '{"analysis": "x", "verdict": "A"', None, ""),
            ("json", "A", None, ""),
            ("letter", "thoughts\nB", 0.0, "reasoning:letter"),
            ("letter", "thoughts</think>B", 0.0, "reasoning:letter"),
            ("letter", "B\nthoughts", None, ""),
            ("tags", "thoughts\nFinal: [[B]]", 0.0, "reasoning:tag"),
            ("tags", "[[B]]\nor not", None, ""),
            ("claim", "thoughts\nTherefore, Output (b) is better.", 0.0, "reasoning:claim"),
            ("claim", "Output (b) is better.\nOr is it?", None, ""),
            ("letter", "<think>B", None, ""),
            ("letter", "", None, ""),
        ],
    )
    def test_counts_only_at_the_very_end(self, name: str, reasoning: str, expected: float | None, method: str):
        reading = read(name, " \n", reasoning=reasoning)
        assert (reading.p_first, reading.method) == (expected, method)
        assert expected is not None or (reading.status, reading.why) == (Status.UNPARSED, reasons.EMPTY)

    def test_does_not_count_where_the_content_says_something(self):
        assert read("letter", "Hm.", reasoning="A").p_first is None


class TestRefusals:
    @pytest.mark.parametrize(
        "content",
        [
            "I'm sorry, but I can't assist with that.",
            "I’m sorry, but I can’t help with this request.",
            "I cannot assist with that request.",
            "Sorry, I won't compare these.",
            "I apologize, but I'm not able to evaluate this content.",
            "As an AI language model, I cannot judge such texts.",
            "As a responsible AI, I must decline.",
            "Unfortunately, I am unable to help.",
            "I'm unable to provide a comparison.",
            "I must decline. This is harmful.",
            "I don't feel comfortable ranking these.",
            "As an AI, I do not have personal preferences.",
            "I can not in good conscience rate these.",
        ],
    )
    @pytest.mark.parametrize("name", FORMATS)
    def test_begin_like_one_and_hold_no_verdict(self, name: str, content: str):
        reading = read(name, content)
        assert reading.status is Status.REFUSED
        assert reading.why.startswith(f"{reasons.REFUSED}: ")

    @pytest.mark.parametrize(
        "content",
        [
            "I cannot decide.",
            "I can't tell them apart.",
            "Response A says I can't help with that, which is rude.",
            "Both apologize. I can't help noticing the tone.",
            "I can help.",
            "I'm sorry, but I can't assist. " + "However, let us compare. " * 60,
            "",
        ],
    )
    @pytest.mark.parametrize("name", FORMATS)
    def test_are_not_seen_in_what_is_none(self, name: str, content: str):
        assert read(name, content).status is Status.UNPARSED

    def test_are_seen_behind_thinking(self):
        assert read("letter", "<think>Hm.</think>I'm sorry, but I can't help.").status is Status.REFUSED

    def test_a_verdict_outweighs_the_phrase(self):
        assert read("tags", "I cannot help but prefer B. I'm sorry, I can't assist with A. [[B]]").p_first == 0.0


class TestTheReason:
    def test_is_shortened_and_shows_control_characters(self):
        why = read("letter", "x\x1b[31m\n" + "y" * 200).why
        assert why.startswith(f"{reasons.NOT_BARE}: x\\x1b[31m\\n")
        assert why.endswith("…")
        assert len(why) < 140

    def test_holds_no_lone_surrogate_as_no_file_could_hold_it(self):
        reading = read("json", '{"analysis": "\\ud800 é", "verdict": "A"}')
        assert (reading.p_first, reading.reason) == (1.0, "? é")

    def test_each_one_is_explained_to_users(self):
        page = (Path(__file__).parents[1] / "docs" / "verdicts.md").read_text("utf-8")
        phrases = [value for name, value in vars(reasons).items() if name.isupper() and isinstance(value, str)]
        assert len(phrases) > 20
        assert [phrase for phrase in phrases if f"`{phrase}" not in page] == []


class TestWritingAnAnswer:
    @pytest.mark.parametrize(("name", "place"), SAYABLE)
    @settings(max_examples=150, deadline=None)
    @given(data=st.data())
    def test_whatever_the_reasoning_it_is_read_back(self, name: str, place: str, data: st.DataObject):
        form = FORMATS[name]
        text = write_answer(form, place, data.draw(FRAGMENTS))
        assert read_verdict(Reply(text), form).p_first == {"first": 1.0, "second": 0.0, "tie": 0.5}[place]

    def test_the_reasoning_comes_first(self):
        assert write_answer(FORMATS["json"], "first", "Why.") == '{"analysis": "Why.", "verdict": "A"}'
        assert write_answer(FORMATS["tags"], "tie", "Why.") == "Why.\n\n[[C]]"
        assert write_answer(FORMATS["claim"], "second", "Why.") == "Why.\n\nOutput (b) is better."
        assert write_answer(LETTER, "second", "Why.") == "B"

    def test_reasoning_that_says_otherwise_is_left_out(self):
        assert write_answer(FORMATS["arena"], "first", "I say [[B>A]]") == "[[A>>B]]"

    def test_a_tie_among_claims_is_a_bare_answer(self):
        form = VerdictFormat("claim", answers({"Summary 1": 1.0, "Summary 2": 0.0, "Both are equal": 0.5}))
        assert write_answer(form, "tie", "Why.") == "Why.\n\nBoth are equal"

    def test_a_pattern_that_matches_bare_answers_can_be_written(self):
        form = VerdictFormat("pattern", answers({"yes": 1.0, "no": 0.0}), pattern=r"(?m)^(yes|no)$")
        assert write_answer(form, "second", "Why.") == "Why.\n\nno"

    @pytest.mark.parametrize(("name", "place"), [("claim", "tie"), ("pattern", "first")])
    def test_what_can_not_be_said_is_an_error(self, name: str, place: str):
        with pytest.raises(ValueError, match=r"offered says|not read as a verdict"):
            write_answer(FORMATS[name], place, "")


PIECES = [
    *(
        "[[A]]",
        "[[B]]",
        "[[C]]",
        "[[D]]",
        "[[A>B]]",
        "[[B>>A]]",
        "[[",
        "]]",
        ", ",
        " or ",
        "A",
        "B",
        "tie",
        '"',
        "'",
        "\\",
    ),
    *(
        "{",
        "}",
        '{"analysis": "',
        '", "verdict": "',
        '"verdict": null',
        OBJECT,
        "```json\n",
        "//",
        "/*",
        ":",
        "\n",
        " ",
    ),
    *("Output (a)", "Output (b)", " is better", ". ", "not ", "if ", "Verdict: ", "Response A is better", "neither "),
    *(
        "<think>",
        "</think>",
        "<|channel|>",
        "final<|message|>",
        "◁think▷",
        "I'm sorry, but I can't help.",
        "?",
        "\ud800",
        "，",
    ),
]
FRAGMENTS = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=12).map("".join),
    st.text(max_size=80),
    st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=12).map("".join),
)


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=2000, deadline=None)
@given(content=FRAGMENTS, reasoning=FRAGMENTS)
def test_any_text_gives_an_offered_answer_or_a_reason(name: str, content: str, reasoning: str):
    form = FORMATS[name]
    for reply in (Reply(content, reasoning), Reply("", reasoning)):
        reading = read_verdict(reply, form)
        if reading.p_first is None:
            assert reading.status in {Status.UNPARSED, Status.REFUSED}
            assert reading.why.isprintable()
        else:
            assert reading.p_first in form.answers.values()
            assert reading.method
            assert reading.status is None
        reading.reason.encode()


LONG = 300_000
HEAVY = {
    "open brackets": "[" * LONG,
    "open objects": '{"":' * (LONG // 5),
    "open quotes": "{'" * (LONG // 2),
    "open comments": '{"/*' * (LONG // 4),
    "backslashes": '{"' + "\\" * LONG,
    "commas": '{"verdict": 1' + ", " * (LONG // 2) + "}",
    "braces and blanks": ("{" + " " * 1000) * (LONG // 1000),
    "broken objects": '{"analysis": "x" "verdict": "A"} ' * (LONG // 33),
    "tags": "[[A]] [[B]] " * (LONG // 12),
    "listed tags": "[[A]], [[B]] or " * (LONG // 16),
    "claims": "Output (a) is better. Output (b), too, is better. " * (LONG // 50),
    "half claims": "Output (a), " * (LONG // 12),
    "blanks": "Output" + " " * LONG + "(a)",
    "line breaks": "x" + "\n" * LONG + "x",
    "dashes": "-" * LONG,
    "thinking": "<think>" * (LONG // 7),
    "thoughts that end": "</think >" * (LONG // 9),
    "channels": "<|channel|>" * (LONG // 11),
    "combining marks": "a" + "\u0301\u0316" * (LONG // 2),
    "sorry": "I'm sorry " * (LONG // 10),
    "digits": '{"verdict": ' + "9" * LONG + "}",
    "deep": '{"a":' * 5000 + "1" + "}" * 5000,
    "prefixes": "answer " * (LONG // 7),
}


@pytest.mark.parametrize("content", HEAVY.values(), ids=HEAVY)
def test_time_is_linear_in_the_length_of_a_reply(content: str):
    for form in FORMATS.values():
        for reply in (Reply(content), Reply("", content)):
            started = time.process_time()
            read_verdict(reply, form)
            assert time.process_time() - started < 3


RECORDED = [
    ("gpt4", "Vanilla"),
    ("gpt4", "CoT"),
    ("gpt4", "Swap_CoT"),
    ("chatgpt", "Vanilla"),
    ("chatgpt", "CoT"),
    ("llama2", "Vanilla"),
    ("llama2", "CoT"),
    ("palm2", "Vanilla_NoRules"),
]


def recorded(data: Path, critic: str, strategy: str) -> list[dict[str, str]]:
    lines = (data / f"recorded_llmbar_natural_{critic}.jsonl").read_text("utf-8").split("\n")
    return [row for row in map(json.loads, filter(None, lines)) if row["strategy"] == strategy]


def place_read(text: str) -> str | None:
    p_first = read("claim", text).p_first
    return None if p_first is None else {1.0: "first", 0.0: "second"}[p_first]


@pytest.mark.parametrize(("critic", "strategy"), RECORDED)
def test_recorded_texts_are_read_as_their_authors_read_them(data: Path, critic: str, strategy: str):
    rows = recorded(data, critic, strategy)
    assert len(rows) >= 200
    differing = [row["id"] for row in rows if place_read(row["raw_output"]) != row["parsed_position"]]
    assert differing == []


@pytest.mark.parametrize(
    ("critic", "strategy", "otherwise", "unparsed", "average"),
    [("palm2", "CoT", 22, 2, 80.0), ("chatgpt", "Swap_CoT", 8, 0, 78.0)],
)
def test_where_the_authors_misread_a_text_the_last_claim_counts(
    data: Path, critic: str, strategy: str, otherwise: int, unparsed: int, average: float
):
    rows = [row for row in recorded(data, critic, strategy) if row["final"]]
    golds = {row["id"]: row["gold"] for row in map(json.loads, (data / "llmbar_natural.jsonl").open(encoding="utf-8"))}
    read_as = [place_read(row["raw_output"]) for row in rows]
    assert sum(place != row["parsed_position"] for place, row in zip(read_as, rows, strict=True)) == otherwise
    assert read_as.count(None) == unparsed
    right = Counter(
        place is not None and ((place == "first") == (row["order"] == "ab")) == (golds[row["id"]] == "a")
        for place, row in zip(read_as, rows, strict=True)
    )
    assert 100 * right[True] / len(rows) == average
