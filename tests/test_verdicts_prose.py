"""Verdicts in prose: tags, claims, letters and a user's own pattern; a mention is none."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aifeedback.records import PFirst, Reading, Reply, VerdictFormat
from aifeedback.verdicts import read_verdict, reasons


def form(kind: str, meanings: dict[str, float], **more: str) -> VerdictFormat:
    return VerdictFormat(kind, {answer: PFirst(p) for answer, p in meanings.items()}, **more)


TAGS = form("tags", {"[[A]]": 1.0, "[[B]]": 0.0, "[[C]]": 0.5})
FIVE = {"[[A>>B]]": 1.0, "[[A>B]]": 0.75, "[[A=B]]": 0.5, "[[B>A]]": 0.25, "[[B>>A]]": 0.0}
ARENA = form("tags", FIVE, which="agreeing")
CLAIM = form("claim", {"Output (a)": 1.0, "Output (b)": 0.0})


def read(content: str, asked: VerdictFormat) -> Reading:
    return read_verdict(Reply(content), asked)


class TestTags:
    @pytest.mark.parametrize(
        "text", ["[[A]]", "[[ a ]]", "[ [A] ]", "**[[A]]**", "\\[\\[A\\]\\]", "[[**A**]]", "`[[A]]`"]
    )
    def test_dress_does_not_matter(self, text: str):
        assert read(f"Words. {text}", TAGS).p_first == 1.0

    @pytest.mark.parametrize(
        "text", ["［［A］］", "【【Ａ】】", "⟦A⟧", "〚A〛", "[[\u200bA]]", "[[Response A]]", '[["A"]]']
    )
    def test_nor_does_script(self, text: str):
        assert read(f"Words. {text}", TAGS).p_first == 1.0

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("[[A>>B]]", 1.0),
            ("[[ A > B ]]", 0.75),
            ("[[A&gt;B]]", 0.75),
            ("[[A＞B]]", 0.75),
            ("[[a=b]]", 0.5),
            ("[[B>A]] so again [[B>A]]", 0.25),
            ("`x[[0]]` and `[[1,2]]`, then [[B>>A]]", 0.0),
        ],
    )
    def test_strengths_are_told_apart(self, text: str, expected: float):
        assert read(text, ARENA).p_first == expected

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("[[A>B]], no: [[A>>B]]", reasons.DISAGREEING),
            ("[[A>B]] then [[B>A]]", reasons.DISAGREEING),
            ("[[A≫B]]", reasons.NOT_OFFERED),
            ("[[A》B]]", reasons.NOT_OFFERED),
            ("[[A>>>B]]", reasons.NOT_OFFERED),
            ("[[A>>B]], [[A>B]], [[A=B]], [[B>A]], or [[B>>A]]", reasons.ONLY_LISTED),
            ("A>B", reasons.NO_TAG),
        ],
    )
    def test_an_arena_reply_must_agree_with_itself(self, text: str, why: str):
        reading = read(text, ARENA)
        assert reading.p_first is None
        assert reading.why.startswith(why)

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("If style mattered, [[A]]. But [[B]]", 0.0),
            ("[[B]], not [[A]]", 0.0),
            ("[[B]] rather than [[A]]", 0.0),
            ("[[B]]. I would not choose [[A]].", 0.0),
            ("[[B]]. ([[A]] if style mattered.)", 0.0),
            ("One of [[A]], [[B]] or [[C]]. Mine: [[B]]", 0.0),
            ("[[A]] [[B]]", 0.0),
            ("[[A]] and [[A]]", 1.0),
            ("It isn't close: [[B]]", 0.0),
        ],
    )
    def test_the_last_one_counts_and_a_mention_does_not(self, text: str, expected: float):
        assert read(text, TAGS).p_first == expected

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("[[A]], then [[D]]", reasons.NOT_OFFERED),
            ("[[A]] x [[]]", reasons.NOT_OFFERED),
            ("I chose [[A]] of [[A]], [[B]] or [[C]]", reasons.ONLY_LISTED),
            ("[[A]]/[[B]]/[[C]]", reasons.ONLY_LISTED),
            ('"[[A]]" or "[[B]]"', reasons.ONLY_LISTED),
            ("not [[A]]", reasons.ONLY_MENTIONED),
            ('"[[A]]" if A is better, "[[B]]" if B is better, and "[[C]]" for a tie', reasons.ONLY_MENTIONED),
            ("[A]", reasons.NO_TAG),
            ("[[A\n]]", reasons.NO_TAG),
            ("Overall, Response B is better. [[A]]", reasons.CONTRADICTS_REASONING),
        ],
    )
    def test_what_is_no_verdict_has_its_own_reason(self, text: str, why: str):
        reading = read(text, TAGS)
        assert reading.p_first is None
        assert reading.why.startswith(why)

    @pytest.mark.parametrize(
        ("text", "expected"), [("[[A]] x [[B]]", 1.0), ("[[D]] x [[A]]", None), ("[[A]] x [[B]], [[C]]", 1.0)]
    )
    def test_the_first_one_counts_where_the_format_says_so(self, text: str, expected: float | None):
        first = VerdictFormat("tags", TAGS.answers, which="first")
        assert read(text, first).p_first == expected

    @pytest.mark.parametrize(
        ("meanings", "text", "expected"),
        [
            ({"<verdict>A</verdict>": 1.0, "<verdict>B</verdict>": 0.0}, "x <verdict> b </verdict>", 0.0),
            (
                {"<verdict>A</verdict>": 1.0, "<verdict>B</verdict>": 0.0},
                "<verdict>A</verdict> <verdict>D</verdict>",
                None,
            ),
            ({"Verdict: A": 1.0, "Verdict: B": 0.0}, "**Verdict:** A\nVerdict: B.", 0.0),
            ({"Verdict: A": 1.0, "Verdict: B": 0.0}, "Verdict: A\nVerdict: neither", None),
            ({"#one": 1.0, "#other": 0.0}, "#one, no, #other", 0.0),
            ({"WIN": 1.0, "LOSS": 0.0}, "WINNING is not a loss but a WIN", 1.0),
            ({"WIN": 1.0}, "WIN", 1.0),
            ({"{1}": 1.0, "{12}": 0.0}, "{1} {12}", 0.0),
            ({"[[A]]": 1.0, "[[A": 0.0}, "[[A]]", None),
        ],
    )
    def test_a_template_may_have_tags_of_its_own(self, meanings: dict[str, float], text: str, expected: float | None):
        assert read(text, form("tags", meanings)).p_first == expected


CLAIMED = {
    "Output (a) is better": 1.0,
    "Output (a) is the better one, by far.": 1.0,
    "Output (a) is clearly the better response.": 1.0,
    "Output (a) is slightly better because it is short.": 1.0,
    "Output (a) is by far the best.": 1.0,
    "Output (a) is, overall, better.": 1.0,
    "Output (a) is the clear winner.": 1.0,
    "Output (a) is preferable.": 1.0,
    "Output (a) wins.": 1.0,
    "Output (b), however, is better.": 0.0,
    "Output (b), unlike Output (a), is superior.": 0.0,
    "OUTPUT (B) IS BETTER": 0.0,
    "**Output (b)** is **better**.": 0.0,
    "`Output (b)` is better": 0.0,
    "Output \\(b\\) is better": 0.0,
    "Output（b）is not needed. Output（b） is better.": 0.0,
    "Output(b) is\nbetter": 0.0,
    '"Output (b) is better."': 0.0,
    "The better output is Output (b).": 0.0,
    "Better: Output (b)": 0.0,
    "The winner is Output (b).": 0.0,
    "I would choose Output (b).": 0.0,
    "I clearly prefer Output (b) here.": 0.0,
    "Output (a) does not follow the instruction, so Output (b) is better.": 0.0,
    "Output (a) is not accurate and Output (b) is better.": 0.0,
    "While Output (a) is longer, Output (b) is better.": 0.0,
    "Even if it is longer, Output (b) is better.": 0.0,
    "There is no doubt that Output (b) is better.": 0.0,
    "I agree with Assistant (b) that Output (b) is better.": 0.0,
    "This suggests that Output (b) is better.": 0.0,
    "Output (a) is better than Output (b) in style, but overall Output (b) is better.": 0.0,
    "Output (b) is better. Output (a) is not a summary.": 0.0,
    "Output (a) is better in tone. Some might say that Output (b) is better. It is not.": 1.0,
    "Neither is perfect. Output (b) is better, if only slightly.": 0.0,
    "Output (b)": 0.0,
    "**Output (b)**.": 0.0,
    "- Output (b)": 0.0,
    "Answer: Output (b)": 0.0,
    "My final verdict is: Output (b)": 0.0,
    "Therefore, Output (b).": 0.0,
    "They differ.\nOutput (b)": 0.0,
    "Output (b)\n\nOutput (b) is short. Output (a) is long.": 0.0,
    "Output (a)\n\nOn reflection, Output (b) is better.": 0.0,
    "Output (a) is better.\n\nOutput (b)": 0.0,
}
UNCLAIMED = [
    "Output (a) is not better",
    "Output (a) isn't better.",
    "Output (a) is no better than Output (b).",
    "Output (a) is hardly better.",
    "Output (a) is worse.",
    "Output (a) is as good as Output (b).",
    "Output (a) is better written.",
    "Output (a) is better-known.",
    "Output (a)'s ending is better.",
    "The best part is Output (a)'s ending.",
    "Output (a) contains a better opening.",
    "Output (c) is better.",
    "Output (ab) is better.",
    "myOutput (a) is better.",
    "Neither Output (a) nor Output (b) is better.",
    "Neither output is better.",
    "Either Output (a) is better or Output (b) is better.",
    "I cannot tell whether Output (a) is better.",
    "I ask myself if Output (a) is better.",
    "I cannot say which Output (a) is better.",
    "It is unclear whether Output (a) or Output (b) is better.",
    "Both Output (a) and Output (b) are equally good.",
    "If brevity counts, Output (a) is better.",
    "Output (a) is better if brevity counts.",
    "Output (a) is better only if brevity counts.",
    "Although Output (a) is better in tone, Output (b) does what was asked.",
    "While Output (a) is better in tone",
    "I do not think that Output (a) is better.",
    "I don't believe Output (a) is better.",
    "It's not clear that Output (a) is better.",
    "I do not agree with Assistant (a) that Output (a) is better.",
    "This does not mean Output (a) is better.",
    "It would be wrong to say that Output (a) is better.",
    "Assistant (b) incorrectly evaluates that Output (b) is better.",
    "Assistant (a) argues that Output (a) is better because it is short.",
    "Assistant (a), in turn, states that Output (a) is better.",
    "Some may argue that Output (a) is better.",
    "Is it so that Output (a) is better?",
    '"Output (a) is better" would be wrong.',
    'Write "Output (a) is better." or "Output (b) is better."',
    "- Output (a) is better.\n- Output (b) is better.",
    "Output (a):\nshort\nOutput (b):\nlong",
    "Output (a)\nis short\nOutput (b)\nis long, both fine.",
    "Output (a) and Output (b)",
    "I compared Output (a) with\nOutput (b)",
    "Output (a) or Output (b)?",
    "Output (a) " + "- " * 300,
]


class TestClaims:
    @pytest.mark.parametrize(("text", "expected"), CLAIMED.items(), ids=CLAIMED)
    def test_the_last_claim_counts(self, text: str, expected: float):
        assert read(text, CLAIM).p_first == expected

    @pytest.mark.parametrize("text", UNCLAIMED)
    def test_a_mention_is_no_claim(self, text: str):
        reading = read(text, CLAIM)
        assert reading.p_first is None
        assert reading.why == reasons.NO_CLAIM

    def test_a_draw_in_the_end_takes_the_claim_back(self):
        assert read("Output (a) is better in tone. In all, both are equally good.", CLAIM).why == reasons.DRAW
        assert read("Both are equally good in tone. Output (a) is better.", CLAIM).p_first == 1.0

    @pytest.mark.parametrize(("which", "expected"), [("first", 1.0), ("last", 0.0), ("agreeing", None)])
    def test_of_several_the_format_decides(self, which: str, expected: float | None):
        asked = VerdictFormat("claim", CLAIM.answers, which=which)
        assert read("Output (a) is better in tone. Yet Output (b) is better.", asked).p_first == expected

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("Summary 2 is better than Summary 1.", 0.0),
            ("Summary 12 is better.", None),
            ("The better summary is Summary 1.", 1.0),
            ("They are equal.", 0.5),
            ("I do not think they are equal.", None),
            ("Final verdict: They are equal", 0.5),
        ],
    )
    def test_nothing_about_the_answers_is_fixed(self, text: str, expected: float | None):
        asked = form("claim", {"Summary 1": 1.0, "Summary 2": 0.0, "They are equal": 0.5})
        assert read(text, asked).p_first == expected

    def test_an_answer_may_be_the_whole_sentence(self):
        asked = form("claim", {"Output (a) is better": 1.0, "Output (b) is better": 0.0})
        assert read("So Output (b) is better.", asked).p_first == 0.0
        assert read("It is not true that Output (b) is better.", asked).p_first is None

    def test_answers_that_only_dress_tells_apart_are_not_guessed(self):
        asked = form("claim", {"Output A": 1.0, "Response A": 0.0})
        assert read("Output a is better.", asked).p_first is None

    @given(st.text(max_size=200))
    def test_a_last_line_with_the_sentence_that_was_asked_for_is_read(self, words: str):
        # Thinking without end, or words that make the sentence another's, are for other tests.
        text = re.sub(r"[<◁\[]", "", words) + ".\n\nTherefore, Output (b) is better."
        assert read(text, CLAIM).p_first == 0.0


class TestPatterns:
    @pytest.mark.parametrize(
        ("pattern", "text", "expected"),
        [
            (r"Score: (\w+)", "Score: A ... Score: B", 0.0),
            (r"\b[AB]$", "so it is B", 0.0),
            (r"(?i)winner:\s*(\S+)", "WINNER: **a**", 1.0),
            (r"Score: (\w+)|none", "Score: A, none", 1.0),
        ],
    )
    def test_group_one_or_the_whole_match_is_the_answer(self, pattern: str, text: str, expected: float):
        assert read(text, form("pattern", {"A": 1.0, "B": 0.0}, pattern=pattern)).p_first == expected

    @pytest.mark.parametrize(
        ("pattern", "text", "why"),
        [
            ("Score: (.*)", "Score:", reasons.NO_MATCH),
            ("Score: (.*)", "Score: both", reasons.NOT_OFFERED),
            ("Score: (.*)", "Score: A and B", reasons.SEVERAL),
            ("Score: (", "Score: A", reasons.BAD_PATTERN),
            ("x{99999999999}", "Score: A", reasons.BAD_PATTERN),
            ("Score: (.*)", "Score: A" + " " * 100_000 + "end", reasons.NO_MATCH),
        ],
    )
    def test_what_is_no_verdict_has_its_own_reason(self, pattern: str, text: str, why: str):
        reading = read(text, form("pattern", {"A": 1.0, "B": 0.0}, pattern=pattern))
        assert reading.p_first is None
        assert reading.why.startswith(why)

    @pytest.mark.parametrize(("which", "expected"), [("first", 1.0), ("last", 0.0), ("agreeing", None)])
    def test_of_several_the_format_decides(self, which: str, expected: float | None):
        asked = form("pattern", {"A": 1.0, "B": 0.0}, pattern=r"=(\w)", which=which)
        reading = read("=A =B", asked)
        assert reading.p_first == expected
        assert which != "agreeing" or reading.why == reasons.DISAGREEING
