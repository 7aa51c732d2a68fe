"""Critics for tests do what their names promise, in every form of a verdict."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aifeedback.errors import GiveUp
from aifeedback.records import Message, Order, Pair, PFirst, Question, Reply, Status, VerdictFormat, as_p_a
from aifeedback.testing import (
    AlwaysFirst,
    AlwaysSecond,
    AlwaysTie,
    BiasedCritic,
    FailingCritic,
    FairCritic,
    ScriptedCritic,
)
from aifeedback.verdicts import read_verdict

Critic = AlwaysFirst | AlwaysSecond | AlwaysTie | BiasedCritic | FailingCritic | FairCritic | ScriptedCritic
FIRST, TIE, SECOND = PFirst(1.0), PFirst(0.5), PFirst(0.0)
JSON = VerdictFormat("json", {"A": FIRST, "B": SECOND, "tie": TIE})
LETTER = VerdictFormat("letter", {"A": FIRST, "B": SECOND, "C": TIE})
TAGS = VerdictFormat("tags", {"[[A]]": FIRST, "[[B]]": SECOND, "[[C]]": TIE})
CLAIM = VerdictFormat("claim", {"Output (a)": FIRST, "Output (b)": SECOND})
FORMATS = {"json": JSON, "letter": LETTER, "tags": TAGS, "claim": CLAIM}


def question(a: str = "short", b: str = "longer", order: Order = Order.AB, form: VerdictFormat = TAGS) -> Question:
    first, second = (a, b) if order is Order.AB else (b, a)
    messages = (Message("system", "Judge."), Message("user", f"{first}\n---\n{second}"))
    return Question(messages, form, Pair("7", "Why?", a, b), order)


def both(a: str, b: str, form: VerdictFormat = TAGS) -> list[Question]:
    return [question(a, b, order, form) for order in Order]


def ask(critic: Critic, asked: Question) -> Reply:
    return asyncio.run(critic.ask(asked))


def p_first(critic: Critic, asked: Question) -> float | None:
    return read_verdict(ask(critic, asked), asked.format).p_first


@pytest.fixture(params=FORMATS.values(), ids=FORMATS)
def form(request: pytest.FixtureRequest) -> VerdictFormat:
    return request.param


# Scripted


def test_scripted_replies_come_in_the_order_of_the_questions():
    given_reply = Reply("as it is", finish_reason="length")
    critic = ScriptedCritic(["one", given_reply])
    one, two = both("x", "y")
    assert ask(critic, one).content == "one"
    assert ask(critic, two) is given_reply
    assert critic.questions == [one, two]


def test_a_scripted_text_becomes_a_finished_reply():
    reply = ask(ScriptedCritic(["said"], name="me"), question())
    assert (reply.content, reply.finish_reason, reply.model, reply.complete) == ("said", "stop", "me", True)
    assert reply.usage.input > 0
    assert reply.usage.output == 1


def test_a_scripted_exception_is_raised_in_its_turn():
    critic = ScriptedCritic(["one", GiveUp("no", status=Status.REFUSED), "three"])
    assert ask(critic, question()).content == "one"
    with pytest.raises(GiveUp, match="no"):
        ask(critic, question())
    assert ask(critic, question()).content == "three"


def test_a_function_may_answer():
    critic = ScriptedCritic(lambda asked: asked.order.value)
    assert [ask(critic, asked).content for asked in both("x", "y")] == ["ab", "ba"]


def test_a_script_that_runs_out_says_which_question_came():
    critic = ScriptedCritic(["only"])
    ask(critic, question())
    with pytest.raises(AssertionError, match=r"has 1 replies, and question 2 came \(pair '7', order ba\)"):
        ask(critic, question(order=Order.BA))


# Fixed to a place


def test_a_place_is_named_whatever_stands_there(form: VerdictFormat):
    for asked in both("x", "much longer", form):
        assert p_first(AlwaysFirst(), asked) == 1.0
        assert p_first(AlwaysSecond(), asked) == 0.0


def test_a_tie_is_a_tie_where_one_is_offered(form: VerdictFormat):
    reading = read_verdict(ask(AlwaysTie(), question(form=form)), form)
    if form is CLAIM:
        assert reading.status is Status.UNPARSED
    else:
        assert reading.p_first == 0.5


# Fair


def winner(critic: Critic, asked: Question) -> float:
    return as_p_a(PFirst(p_first(critic, asked)), asked.order)


def test_a_fair_critic_prefers_the_higher_score_from_both_places(form: VerdictFormat):
    assert [winner(FairCritic(len), asked) for asked in both("long enough", "short", form)] == [1.0, 1.0]
    assert [winner(FairCritic(len), asked) for asked in both("short", "long enough", form)] == [0.0, 0.0]


def test_a_fair_critic_reads_the_turns_of_a_dialogue():
    long_turns = (Message("assistant", "many"), Message("user", "words"))
    asked = question()
    asked = replace(asked, pair=replace(asked.pair, response_a=long_turns))
    assert winner(FairCritic(len), asked) == 1.0


def test_equal_scores_are_a_tie():
    assert [winner(FairCritic(len), asked) for asked in both("abc", "xyz")] == [0.5, 0.5]


@given(st.text(), st.text())
def test_without_a_tie_equal_scores_still_agree_in_both_orders(a: str, b: str):
    one, two = (winner(FairCritic(lambda _: 0.0), asked) for asked in both(a, b, CLAIM))
    assert (one == two) == (a != b)


# Biased


def shares(critic: Critic, pairs: list[Question]) -> float:
    """How often the first-shown was named."""
    named = Counter(p_first(critic, asked) for asked in pairs)
    assert set(named) <= {0.0, 1.0}
    return named[1.0] / sum(named.values())


def test_a_planted_position_bias_is_there():
    asked = [one for n in range(500) for one in both(f"{n:04}", f"{n + 1:04}")]
    assert 0.65 < shares(BiasedCritic(first=0.7), asked) < 0.75


def test_a_planted_length_bias_is_there_and_no_other():
    asked = [one for n in range(500) for one in both(f"{n}", f"{n} and more")]
    critic = BiasedCritic(first=0.5, longer=0.8)
    assert 0.45 < shares(critic, asked) < 0.55
    longer = [winner(critic, one) == 0.0 for one in asked]
    assert 0.75 < sum(longer) / len(longer) < 0.85


def test_a_biased_critic_says_the_same_again_and_something_else_with_another_seed():
    asked = [question(str(n), "x") for n in range(50)]
    once, again, other = ([p_first(BiasedCritic(seed=seed), one) for one in asked] for seed in (0, 0, 1))
    assert once == again != other


def test_samples_of_one_question_are_drawn_each_by_itself():
    drawn = {p_first(BiasedCritic(first=0.5), replace(question(), sample=n)) for n in range(30)}
    assert drawn == {0.0, 1.0}


@pytest.mark.parametrize(("first", "longer", "share"), [(1.0, 0.5, 1.0), (0.0, 0.5, 0.0), (0.5, 1.0, 0.5)])
def test_a_bias_may_be_a_certainty(first: float, longer: float, share: float):
    asked = [one for n in range(20) for one in both(f"{n}", f"{n} and more")]
    assert shares(BiasedCritic(first=first, longer=longer), asked) == share


def test_certainties_that_contradict_each_other_leave_a_coin():
    asked = [question(f"{n}", f"{n} and more") for n in range(200)]
    assert 0.3 < shares(BiasedCritic(first=1.0, longer=1.0), asked) < 0.7


# Failing


def outcome(critic: Critic, asked: Question) -> str:
    try:
        return ask(critic, asked).content
    except GiveUp as error:
        return str(error.status)


def test_about_every_third_question_fails_and_the_same_ones_in_any_order():
    asked = [question(str(n), "x") for n in range(120)]
    critic = FailingCritic(AlwaysFirst())
    forth = [outcome(critic, one) for one in asked]
    back = [outcome(critic, one) for one in reversed(asked)]
    assert forth == back[::-1]
    assert 20 < forth.count("failed") < 60
    assert all(said == "failed" or said.endswith("[[A]]") for said in forth)


def test_every_question_fails_where_told_so_with_the_error_that_is_given():
    critic = FailingCritic(every=1, error=RuntimeError("mine"))
    for _ in range(3):
        with pytest.raises(RuntimeError, match="mine"):
            ask(critic, question())


def test_the_inner_critic_is_fair_where_none_is_named():
    assert [winner(FailingCritic(every=2**63), asked) for asked in both("long enough", "short")] == [1.0, 1.0]


@given(st.text(alphabet=st.characters(), max_size=20))
def test_any_text_can_be_asked_about(text: str):
    asked = question(text, "\ud800")
    assert p_first(BiasedCritic(), asked) in {0.0, 1.0}
    assert ask(ScriptedCritic(["x"]), asked).content == "x"
