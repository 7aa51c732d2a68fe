"""From a reply's token probabilities to a preference: each figure is what a calculation by hand gives."""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import aifeedback as af
from aifeedback.api import Options
from aifeedback.errors import SettingsError
from aifeedback.job import run_job
from aifeedback.labeling import verdict
from aifeedback.reconcile import reconcile
from aifeedback.records import PA, Order, Pair, PFirst, Question, Reading, Reply, Status, Token, Verdict, VerdictFormat
from aifeedback.settings import Panel, ReconcileSettings, Soft
from aifeedback.verdicts import read_verdict, soften
from aifeedback.verdicts.locating import locate
from aifeedback.verdicts.reasons import DISAGREEING
from tests.conftest import Command, read_lines, some_pairs, write_lines
from tests.test_verdicts import CORPUS, reply_of


def answers(meanings: Mapping[str, float]) -> dict[str, PFirst]:
    return {answer: PFirst(p_first) for answer, p_first in meanings.items()}


ABC = answers({"A": 1.0, "B": 0.0, "C": 0.5})
LETTER = VerdictFormat("letter", ABC)
TAGS = VerdictFormat("tags", answers({"[[A]]": 1.0, "[[B]]": 0.0, "[[C]]": 0.5}))
JSON = VerdictFormat("json", answers({"A": 1.0, "B": 0.0, "tie": 0.5}))
WORDS = VerdictFormat("json", answers({"first": 1.0, "second": 0.0, "tie": 0.5}))
ARENA_ANSWERS = answers({"[[A>>B]]": 1.0, "[[A>B]]": 0.75, "[[A=B]]": 0.5, "[[B>A]]": 0.25, "[[B>>A]]": 0.0})

Piece = str | tuple[str, Mapping[str, float]]
"""A token, or a token with what it could have been and how likely that was."""


def reply(*pieces: Piece, before: str = "", **fields: str) -> Reply:
    """A reply of these tokens, after `before` in tokens of three characters that nobody kept alternatives of."""
    said, tokens = "", []
    for piece in [*(before[i : i + 3] for i in range(0, len(before), 3)), *pieces]:
        text, shares = (piece, {}) if isinstance(piece, str) else piece
        alternatives = tuple((spelled, math.log(share)) for spelled, share in shares.items())
        tokens.append(Token(len(said), len(said) + len(text), alternatives))
        said += text
    return Reply(**({"content": said} | fields), tokens=tuple(tokens))  # type: ignore[arg-type]


def read(said: Reply, form: VerdictFormat) -> Reading:
    return soften(read_verdict(said, form), said, form)


def assert_soft(said: Reply, form: VerdictFormat, p_first: float, mass: float, *, not_sampled: bool = False) -> None:
    hard, reading = read_verdict(said, form), read(said, form)
    assert reading.soft, reading
    assert reading.p_first == pytest.approx(p_first, abs=1e-6)
    assert reading.mass == pytest.approx(mass, abs=1e-6)
    assert reading.method == hard.method + (":not_sampled" if not_sampled else "")
    assert (reading.reason, reading.status, reading.why) == (hard.reason, hard.status, hard.why)


def assert_hard(said: Reply, form: VerdictFormat, mass: float = 0.0) -> None:
    hard, reading = read_verdict(said, form), read(said, form)
    assert hard.p_first is not None, hard
    assert (reading.soft, reading.p_first, reading.method) == (False, hard.p_first, hard.method)
    assert reading.mass == pytest.approx(mass, abs=1e-6)


SHARES = {"A": 0.6, "B": 0.2, "C": 0.1, "The": 0.1}
P, M = (0.6 + 0.1 / 2) / 0.9, 0.9


def test_one_letter_is_as_likely_as_its_token() -> None:
    assert_soft(reply(("A", SHARES)), LETTER, P, M)
    assert_soft(reply("Answer", ":", (" A", {" A": 0.6, " B": 0.2, " C": 0.1, " Neither": 0.1}), "."), LETTER, P, M)


def test_a_tag_after_its_reasoning_is_as_likely_as_the_token_inside_it() -> None:
    reasoning = "If A were wrong I would say [[B]], but it is not.\n\n"
    assert_soft(reply("[[", ("A", SHARES), "]]", before=reasoning), TAGS, P, M)
    assert_soft(reply(("[[A", {"[[A": 0.6, "[[B": 0.2, "[[C": 0.1}), "]]", before=reasoning), TAGS, P, M)
    assert_soft(reply("[[", ("A]]", {"A]]": 0.5, "A": 0.1, "B]]": 0.2, "C]]": 0.1}), before=reasoning), TAGS, P, M)


@pytest.mark.parametrize(("which", "expected"), [("first", 0.9), ("last", 0.6)])
def test_of_several_tags_the_one_that_counts_is_looked_at(which: str, expected: float) -> None:
    form = VerdictFormat("tags", TAGS.answers, which=which)  # type: ignore[arg-type]
    said = reply("[[", ("A", {"A": 0.9, "B": 0.1}), "]] it was, and so I end:\n[[", ("A", {"A": 0.6, "B": 0.4}), "]]")
    assert_soft(said, form, expected, 1.0)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("**[[", "]]**"),
        ("**Verdict:** *well*, `[[", "]]`**"),
        ("［［", "］］"),
        ("\u200b⟦\u200b", "\u200b⟧"),
        ("*a* " * 40 + "[[ ", " ]] *so*"),
    ],
)
def test_a_dressed_tag_is_found_where_it_stands(before: str, after: str) -> None:
    assert_soft(reply(("A", SHARES), after, before=before), TAGS, P, M)
    assert_soft(reply(("Ａ", {"Ａ": 0.5, "A": 0.1, "B": 0.2, "C": 0.1}), after, before=before), TAGS, P, M)


REASONED = '{"analysis": "One might say \\"verdict\\": \\"A\\" or {\\"verdict\\": \\"B\\"}, but no.", "verdict"'


@pytest.mark.parametrize(
    ("before", "sampled", "others", "after"),
    [
        (': "', "A", ("A", "B", "tie"), '"}'),
        (":", ' "A', (' "A', ' "B', ' "tie'), '"}'),
        (": ", '"A"', ('"A"', '"B"', '"tie"'), "}"),
        (': "', 'A"', ('A"', 'B"', "ti"), "}"),
        (': "', 'A"}', ('A"}', 'B"}', 'tie"}'), ""),
        ("", '":"A', ('":"A', '":"B', '":"t'), '"}'),
    ],
)
def test_in_json_the_token_may_span_the_quotes_on_either_side(
    before: str, sampled: str, others: Sequence[str], after: str
) -> None:
    head = REASONED.removesuffix('"') if sampled.startswith('":') else REASONED
    shares = dict(zip((*others, "neither"), (0.6, 0.2, 0.1, 0.1), strict=True))
    said = reply((sampled, shares), *([after] if after else []), before=head + before)
    assert json.loads(said.content)["verdict"] == "A"
    assert_soft(said, JSON, P, M)


JSON_SHARES = {"A": 0.6, "B": 0.2, "tie": 0.1, "none": 0.1}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('```json\n{"analysis": "x", "verdict": "', '"}\n```'),
        ('Here it is: {"analysis": "x", "verdict": "', '"} I hope that this helps.'),
        ('{"result": {"analysis": "x", "Verdict ": "', '"}}'),
        ('[{"analysis": "x", "verdict": "', '"}]'),
        ('"{\\"analysis\\": \\"x\\", \\"verdict\\": \\"', '\\"}"'),
        ("{'analysis': 'x', 'verdict': '", "',}"),
        ('{"verdict": "', '", "analysis": "I say \\"verdict\\": \\"A\\" and {\\"verdict\\": \\"A\\"}."}'),
        ('{"analysis": "x", "verdict": "B"} No: {"analysis": "y", "verdict": "', '"}'),
        ('<think>{"verdict": "A"}</think>{"analysis": "x", "verdict": "**Response ', '**"}'),
        ("<think>A, surely A.</think>\n**", "**."),
    ],
)
def test_the_object_that_counted_is_the_one_looked_at(before: str, after: str) -> None:
    assert_soft(reply(("A", JSON_SHARES), after, before=before), JSON, P, M)


def test_an_answer_beside_an_empty_content_is_found_there() -> None:
    said = reply(("A", JSON_SHARES), '"}', before='It is A.\n{"analysis": "x", "verdict": "')
    assert_soft(Reply("", reasoning=said.content, tokens=said.tokens), JSON, P, M)
    said = reply("[[", ("A", SHARES), "]]", before="I think of [[B]].\n")
    assert_soft(Reply(" ", reasoning=said.content, tokens=said.tokens), TAGS, P, M)


def test_what_was_thought_before_is_not_looked_at() -> None:
    said = reply("<think>", ("A", {"A": 1.0}), "</think>\n\n", ("A", SHARES))
    assert_soft(said, LETTER, P, M)
    parts = reply("So: <think>[[B]] or ", "[[A]]", "</think> [[", ("A", SHARES), "]]")
    assert_soft(parts, TAGS, P, M)


def test_spellings_of_one_answer_are_counted_together() -> None:
    first = ["A", " A", "a", "**A", 'A"', '"A', ' "A', '":"A', "A]]", "[[A", "A.", "A\n", "Ａ", " (A)", "A,", "{A}"]
    second = [spelled.replace("A", "B").replace("a", "b").replace("Ａ", "Ｂ") for spelled in first]
    nobody = ["Another", "AB", "A/B", "A or B", "Response", "", "\n", '"', "Both", "A and B", "I", "As", "a good"]
    shares = dict.fromkeys(first, 0.03) | dict.fromkeys(second, 0.01) | dict.fromkeys(nobody, 0.02)
    assert_soft(reply(("A", shares)), LETTER, 0.75, len(first) * 0.04)


def test_a_side_that_is_missing_has_no_mass() -> None:
    assert_soft(reply(("B", {"B": 0.9})), LETTER, 0.0, 0.9)
    assert_soft(reply(("C", {"C": 0.8, "A": 0.1})), LETTER, (0.1 + 0.4) / 0.9, 0.9)


def test_a_verdict_does_not_hold_on_to_its_tokens() -> None:
    said = Reply("A", tokens=(Token(0, 1, (("A", math.log(0.6)), ("B", math.log(0.4)))),))
    for soft, expected in ((True, 0.6), (False, 1.0)):
        found = verdict("c", Question((), LETTER, Pair("1", "p", "a", "b"), Order.AB), said, soft=soft)
        assert (found.p_a, found.reply) == (expected, Reply("A"))


def test_a_tie_counts_half_for_each_side_and_even_masses_are_a_tie() -> None:
    assert_soft(reply(("C", {"A": 0.25, "B": 0.25, "C": 0.5})), LETTER, 0.5, 1.0)
    assert_soft(reply(("A", {"A": 0.4, "B": 0.4, "C": 0.2})), LETTER, 0.5, 1.0)


def test_an_answer_that_was_outvoted_is_marked() -> None:
    assert_soft(reply(("A", {"A": 0.3, "B": 0.7})), LETTER, 0.3, 1.0, not_sampled=True)
    assert_soft(reply(("C", {"C": 0.3, "B": 0.7})), LETTER, 0.15, 1.0, not_sampled=True)
    assert_soft(reply(("C", {"C": 0.6, "B": 0.4})), LETTER, 0.3, 1.0)


def test_below_half_the_mass_there_is_no_soft_value() -> None:
    assert_hard(reply(("A", {"A": 0.3, "B": 0.19, "The": 0.51})), LETTER, mass=0.49)
    assert_soft(reply(("A", {"A": 0.3, "B": 0.2, "The": 0.5})), LETTER, 0.6, 0.5)


def test_masses_that_add_up_to_a_little_more_than_one_are_one_and_to_much_more_are_none() -> None:
    assert_soft(reply(("A", {"A": 0.7, "B": 0.300001})), LETTER, 0.7 / 1.000001, 1.0)
    assert_hard(reply(("A", {"A": 0.9, "B": 0.9})), LETTER)


def test_a_token_without_alternatives_leaves_the_verdict_hard() -> None:
    assert_hard(reply("A"), LETTER)
    assert_hard(Reply("A"), LETTER)


@pytest.mark.parametrize("whole", [False, True])
def test_answers_of_ones_own_are_told_apart_by_how_they_begin(whole: bool) -> None:
    sampled = [("second", {"second": 0.5, "f": 0.2, "ti": 0.1, "sec": 0.1, "fir": 0.1})]
    cut = [("sec", {"second": 0.5, "f": 0.2, "ti": 0.1, "sec": 0.1, "fir": 0.1}), "ond"]
    said = reply(*(sampled if whole else cut), '"}', before='{"analysis": "x", "verdict": "')
    assert_soft(said, WORDS, (0.3 + 0.05) / 1.0, 1.0)


def test_an_answer_of_two_tokens_is_decided_by_the_second_where_the_first_says_nothing() -> None:
    for_all = VerdictFormat("json", answers({"Response A": 1.0, "Response B": 0.0, "tie": 0.5}))
    said = reply("Response", (" A", {" A": 0.7, " B": 0.3}), '"}', before='{"analysis": "x", "verdict": "')
    assert_soft(said, for_all, 0.7, 1.0)
    steps = VerdictFormat("letter", answers({"candidate 1": 1.0, "candidate 2": 0.0}))
    assert_soft(reply("candid", ("ate", {"ate": 1.0}), (" 2", {" 2": 0.75, " 1": 0.25})), steps, 0.25, 1.0)


def test_no_soft_value_where_an_earlier_token_ruled_out_a_meaning() -> None:
    arena_like = VerdictFormat("tags", ARENA_ANSWERS)
    assert_hard(reply("[[", ("A", {"A": 0.6, "B": 0.4}), (">", {">": 0.9, "=": 0.1}), "B]]"), arena_like)
    tied = VerdictFormat("letter", answers({"win A": 1.0, "win B": 0.0, "tie": 0.5}))
    assert_hard(reply(("win", {"win": 0.5, "tie": 0.5}), (" A", {" A": 0.9, " B": 0.1})), tied)


def test_meanings_of_ones_own_are_weighed() -> None:
    form = VerdictFormat("letter", answers({"1": 0.9, "2": 0.6, "3": 0.4, "4": 0.1}))
    said = reply(("1", {"1": 0.4, "2": 0.3, "3": 0.2, "4": 0.05, "5": 0.05}))
    assert_soft(said, form, (0.4 * 0.9 + 0.3 * 0.6 + 0.2 * 0.4 + 0.05 * 0.1) / 0.95, 0.95)
    numbers = VerdictFormat("json", answers({"1": 1.0, "2": 0.0}))
    said = reply((" 1", {" 1": 0.8, " 2": 0.2}), "}", before='{"analysis": "x", "verdict":')
    assert_soft(said, numbers, 0.8, 1.0)


@pytest.mark.parametrize(
    "form",
    [
        VerdictFormat("tags", ARENA_ANSWERS, which="agreeing", soft=False),
        VerdictFormat("letter", ABC, soft=False),
        VerdictFormat("claim", answers({"Output (a)": 1.0, "A": 1.0, "B": 0.0})),
        VerdictFormat("pattern", ABC, pattern="[ABC]"),
    ],
)
def test_arena_claims_and_patterns_are_never_soft(form: VerdictFormat) -> None:
    said = reply("[[A>B]]" if form.kind == "tags" else ("A", {"A": 0.6, "B": 0.4}))
    if form.kind == "tags":
        said = reply("[[", ("A", {"A": 0.6, "B": 0.4}), (">", {">": 0.6, ">>": 0.4}), "B]]")
    assert_hard(said, form)


def test_what_could_not_be_read_is_not_guessed_from_its_tokens() -> None:
    for content, more in (("Neither", {}), ("A", {"finish_reason": "length"}), ("A", {"refusal": "I decline."})):
        said = reply((content, {"A": 0.9, "B": 0.1}), **more)
        assert read(said, LETTER) == read_verdict(said, LETTER)
        assert read(said, LETTER).p_first is None


@pytest.mark.parametrize(
    "tokens",
    [
        [(0, 99)],
        [(3, 4), (0, 4)],
        [(-5, 1)],
        [(1, 1)],
        [(0, 0), (0, 0)],
        [(2, 1)],
        [(5, 9)],
    ],
)
def test_tokens_that_don_t_fit_the_text_are_left_alone(tokens: list[tuple[int, int]]) -> None:
    said = Reply("A.", tokens=tuple(Token(start, end, (("B", -0.1),)) for start, end in tokens))
    assert_hard(said, LETTER)


SAID = [
    ("A", LETTER),
    ("**Answer: B**", LETTER),
    ("<think>[[B]]</think>*Hm.* [[A]]", TAGS),
    ('{"analysis": "\\"verdict\\": \\"B\\"", "verdict": "A"}', JSON),
    ('```\n{"verdict": "Second"}\n```', WORDS),
    ("nothing", JSON),
    ("[[A>B]]", VerdictFormat("tags", ARENA_ANSWERS)),
]
ALTERNATIVES = st.lists(
    st.tuples(
        st.one_of(st.sampled_from(["A", "B", " a", '"B', "[[A", "tie", "sec", "C]]"]), st.text(max_size=4)),
        st.one_of(st.floats(max_value=0.0), st.floats()),
    ),
    max_size=6,
)


@given(
    said=st.sampled_from(SAID),
    tokens=st.lists(st.tuples(st.integers(-3, 60), st.integers(-3, 60), ALTERNATIVES), max_size=12),
)
def test_whatever_the_tokens_are_nothing_is_raised_and_no_status_changes(
    said: tuple[str, VerdictFormat], tokens: list[tuple[int, int, list[tuple[str, float]]]]
) -> None:
    content, form = said
    given_ = Reply(content, tokens=tuple(Token(start, end, tuple(others)) for start, end, others in tokens))
    hard, reading = read_verdict(given_, form), read(given_, form)
    assert (reading.status, reading.why, reading.p_first is None) == (hard.status, hard.why, hard.p_first is None)
    assert reading.p_first is None or 0.0 <= reading.p_first <= 1.0
    assert 0.0 <= reading.mass <= 1.0
    assert reading.soft or reading.p_first == hard.p_first
    assert not reading.soft or reading.mass >= 0.5


@given(shares=st.lists(st.floats(0.001, 1.0), min_size=3, max_size=3), sampled=st.sampled_from("ABC"))
def test_exchanged_sides_mirror_the_probability_exactly(shares: list[float], sampled: str) -> None:
    exchange = {"A": "B", "B": "A", "C": "C"}
    likely = {letter: share / (sum(shares) * 1.0001) for letter, share in zip("ABC", shares, strict=True)}
    plain = reply((sampled, likely))
    turned = reply((exchange[sampled], {exchange[letter]: share for letter, share in likely.items()}))
    pair = Pair("1", "p", "x", "y")
    p_a = verdict("c", Question((), LETTER, pair, Order.AB), plain).p_a
    assert p_a is not None
    assert p_a == verdict("c", Question((), LETTER, pair, Order.BA), turned).p_a
    mirrored = verdict("c", Question((), LETTER, pair, Order.AB), turned).p_a
    assert mirrored == round(1.0 - p_a, 6)


@given(spaces=st.lists(st.sampled_from([" ", "\n", "**", "`", "\u200b", "　"]), max_size=6), data=st.data())
def test_dress_around_an_answer_doesn_t_change_its_probability(spaces: list[str], data: st.DataObject) -> None:
    dress = "".join(spaces)
    kind, opening, closing = data.draw(
        st.sampled_from([(LETTER, "", ""), (TAGS, "So I say [[", "]]"), (JSON, '{"verdict": "', '"}')])
    )
    inner = dress.replace("\n", " ").replace("　", " ") if kind is JSON else dress
    if kind is TAGS:
        inner = inner.replace("\n", "")
    shares = {"A": 0.6, "B": 0.2, "tie" if kind is JSON else "C": 0.1}
    said = reply(("A", shares), inner, closing or " ", before=opening + inner)
    if read_verdict(said, kind).p_first is not None:
        assert_soft(said, kind, P, M)


def test_all_ways_to_cut_an_answer_into_tokens_are_read_alike_or_not_at_all() -> None:
    text = '{"analysis": "x", "verdict": "A"}'
    letter = text.index('A"')
    for start, end in product(range(letter - 12, letter + 1), range(letter + 1, len(text) + 1)):
        token = text[start:end]
        shares = {token: 0.6, token.replace("A", "B"): 0.2, token.replace("A", "tie"): 0.1}
        pieces: list[Piece] = [(token, shares), *([text[end:]] if end < len(text) else [])]
        assert_soft(reply(*pieces, before=text[:start]), JSON, P, M)


def test_a_status_needs_no_tokens() -> None:
    assert read(Reply("", tokens=(Token(0, 1, (("A", -0.1),)),)), LETTER).status is Status.UNPARSED


def test_tags_of_ones_own_are_told_from_their_brackets() -> None:
    form = VerdictFormat("tags", answers({"<1>": 1.0, "<2>": 0.0, "<0>": 0.5}))
    shares = {"1": 0.5, "1>": 0.1, "2": 0.1, "<2": 0.1, "0": 0.1, "12": 0.1}
    assert_soft(reply("<", ("1", shares), ">", before="Both are fine, <2> less so.\n"), form, P, M)


PAIR = Pair("1", "p", "x", "y")


@pytest.mark.parametrize(
    ("ab", "ba", "status", "p_a"),
    [
        ([0.51], [0.49], Status.CONFLICT, 0.5),
        ([0.51], [0.489999], Status.CONFLICT, 0.499999 + 0.0000005),
        ([0.51], [0.5], None, 0.505),
        ([0.9, 0.2], [0.6], None, 0.575),
        ([0.9, 0.1], [0.5, 0.5], Status.TIE, 0.5),
    ],
)
def test_two_orders_on_opposite_sides_are_a_conflict_however_close(
    ab: list[float], ba: list[float], status: Status | None, p_a: float
) -> None:
    said = [
        Verdict("c", order, sample, PA(p), soft=True, mass=1.0)
        for order, ps in ((Order.AB, ab), (Order.BA, ba))
        for sample, p in enumerate(ps)
    ]
    label = reconcile(PAIR, said, ReconcileSettings())
    assert (label.status, label.p_a) == (status, pytest.approx(p_a, abs=1e-6))


@pytest.mark.parametrize(("panel", "p_a"), [("mean", 0.47), ("majority", 0.666667)])
def test_a_majority_counts_decisions_and_a_mean_probabilities(panel: Panel, p_a: float) -> None:
    said = [
        Verdict(critic, order, 0, PA(p), soft=True, mass=1.0)
        for order in Order
        for critic, p in (("c", 0.6), ("d", 0.8), ("e", 0.01))
    ]
    assert reconcile(PAIR, said, ReconcileSettings(panel=panel)).p_a == pytest.approx(p_a, abs=1e-6)


LIKELY = {"ab": {"A": 0.5, " A": 0.1, "B": 0.2, "C": 0.1, "Both": 0.1}, "ba": {"A": 0.25, "B": 0.7, "b": 0.05}}
P_AB, P_BA = (0.6 + 0.1 / 2) / 0.9, 0.75 / 1.0


@dataclass
class Unsure:
    """Says A in the one order and B in the other; with tokens as `LIKELY`, for pairs of odd number without."""

    name: str = "unsure"
    only_even: bool = False
    asked: list[Question] = field(default_factory=list)

    async def ask(self, question: Question) -> Reply:
        self.asked.append(question)
        said = reply(("A" if question.order is Order.AB else "B", LIKELY[question.order.value]))
        return Reply(said.content) if self.only_even and int(question.pair.id) % 2 else said


@pytest.mark.parametrize("first_told", ["auto", "logprobs"])
def test_a_label_is_the_mean_of_both_orders_probabilities_and_another_reading_asks_nothing(
    tmp_path: Path, first_told: Soft
) -> None:
    critic = Unsure()
    options: dict[str, Any] = {"critic": critic, "template": "quick", "store": tmp_path / "s.sqlite"}
    for label in af.label(some_pairs(3), soft=first_told, **options):
        assert isinstance(label, af.Label)
        assert label.winner == "a"
        assert label.order_p_a == pytest.approx({Order.AB: P_AB, Order.BA: P_BA}, abs=1e-6)
        assert label.p_a == pytest.approx((P_AB + P_BA) / 2, abs=1e-6)
        assert [(v.soft, v.mass) for v in label.verdicts] == [(True, 0.9), (True, 1.0)]
    assert len(critic.asked) == 6
    for label in af.label(some_pairs(3), soft="off", **options):
        assert isinstance(label, af.Label)
        assert (label.p_a, {(v.soft, v.mass, v.method) for v in label.verdicts}) == (1.0, {(False, 0.0, "letter")})
    assert len(critic.asked) == 6


def test_five_samples_are_a_share_of_votes_each_asked_by_its_own_index(tmp_path: Path) -> None:
    asked: list[tuple[str, int]] = []

    class Wavering(Unsure):
        async def ask(self, question: Question) -> Reply:
            asked.append((question.order.value, question.sample))
            first = question.sample < 4 if question.order is Order.AB else question.sample < 2
            return reply(("A" if first else "B", {"A": 0.5, "B": 0.4}))

    options: dict[str, Any] = {"critic": Wavering(), "template": "quick", "store": tmp_path / "s.sqlite", "samples": 5}
    for _ in range(2):
        (label,) = af.label(some_pairs(1), soft="samples", **options)
        assert isinstance(label, af.Label)
        assert (label.p_a, dict(label.order_p_a)) == (0.7, {Order.AB: 0.8, Order.BA: 0.6})
    assert sorted(asked) == [(order, sample) for order in ("ab", "ba") for sample in range(5)]


def run(
    tmp_path: Path, critic: Unsure, soft: Soft, **options: Any
) -> tuple[list[dict[str, Any]], Mapping[str, Any], str]:
    lines = write_lines(tmp_path / "pairs.jsonl", some_pairs(4))
    job = Options(critic=critic, template="quick", soft=soft, **options).job([str(lines)], str(tmp_path / "l.jsonl"))
    notes: list[str] = []
    result = asyncio.run(run_job(job, environment={}, note=notes.append))
    return read_lines(tmp_path / "l.jsonl"), result.summary, "\n".join(notes)


def test_what_is_not_soft_is_said_once_at_the_end_and_stands_in_its_row(tmp_path: Path) -> None:
    rows, summary, notes = run(tmp_path, Unsure(only_even=True), "auto")
    assert [[v["soft"] for v in row["feedback"]["verdicts"]] for row in rows] == [[True] * 2, [False] * 2] * 2
    assert rows[0]["preference"] == pytest.approx((P_AB + P_BA) / 2, abs=1e-6)
    assert rows[1]["preference"] == 1.0
    assert notes.count("4 of 8 verdicts have no soft value and count as 1, 0.5 or 0; the others") == 1
    assert summary["manifest"]["parameters"]["soft"] == "auto"
    assert "--soft logprobs: 4 of 8 verdicts" in run(tmp_path, Unsure(only_even=True), "logprobs")[2]
    assert run(tmp_path, Unsure(), "logprobs")[2] == ""
    assert run(tmp_path, Unsure(only_even=True), "off")[2] == ""


@pytest.mark.parametrize(
    ("told", "advice"),
    [
        (["--soft", "logprobs", "--template", "arena"], "--soft logprobs: what the template arena asks for .* quick"),
        (["--soft", "samples"], "--soft samples with --samples 1 has no votes to count. Add"),
    ],
)
def test_what_can_not_be_done_is_exit_2_in_one_line(
    aifeedback: Command, tmp_path: Path, told: list[str], advice: str
) -> None:
    pairs = write_lines(tmp_path / "pairs.jsonl", some_pairs(1))
    done = aifeedback("label", str(pairs), "--critic", "builtin", *told)
    assert done.code == 2, done.err
    assert len(done.err.strip().splitlines()) == 1
    assert re.search(advice, done.err)


@pytest.mark.parametrize("template", ["arena", "statement"])
def test_the_library_refuses_the_same(template: str) -> None:
    with pytest.raises(SettingsError, match=f"template {template} "):
        af.label(some_pairs(1), critic=Unsure(), template=template, soft="logprobs")
    with pytest.raises(SettingsError, match="soft is 'hard', not one of"):
        af.label(some_pairs(1), critic=Unsure(), soft="hard")


def test_how_a_file_of_settings_says_it(aifeedback: Command, tmp_path: Path) -> None:
    (tmp_path / "aifeedback.toml").write_text('soft = "off"\n')
    pairs = write_lines(tmp_path / "pairs.jsonl", some_pairs(1))
    done = aifeedback("label", str(pairs), "--critic", "builtin", "--summary", "s.json", "-o", "l.jsonl")
    assert done.code in {0, 1}, done.err
    assert json.loads((tmp_path / "s.json").read_text())["manifest"]["parameters"]["soft"] == "off"


LOCATED = [row for row in CORPUS if row.values[0].kind in {"json", "letter", "tags"}]


@pytest.mark.parametrize(("form", "row"), LOCATED)
def test_the_answer_that_is_looked_at_is_the_one_that_was_read(form: VerdictFormat, row: dict[str, Any]) -> None:
    said = reply_of(row["reply"])
    reading = read_verdict(said, form)
    answer = locate(reading, said, form)
    assert (answer is None) == (reading.p_first is None)
    if answer is None:
        return
    for name, meaning in answer.meanings.items():
        text = said.said[: answer.start] + name.upper() + said.said[answer.end :]
        other = read_verdict(replace(said, **{"content" if said.content.strip() else "reasoning": text}), form)
        disagrees = form.which == "agreeing" and other.why.startswith(DISAGREEING)
        assert other.p_first == meaning or disagrees, (text, other)


def test_words_that_share_their_beginning_are_told_apart_where_they_part() -> None:
    form = VerdictFormat("tags", answers({"PREFER_A": 1.0, "PREFER_B": 0.0, "PREFER_NONE": 0.5}))
    shares = {"_A": 0.6, "_B": 0.2, "_N": 0.1, "_X": 0.1}
    assert_soft(reply("PRE", ("FER", {"FER": 1.0}), ("_A", shares), ".", before="B is fine. So:\n"), form, P, M)
