"""The builtin critic: fair to both places, and as good as its features are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aifeedback.critics.builtin import MODEL, BuiltinCritic, judge
from aifeedback.errors import GiveUp
from aifeedback.records import Content, Message, Order, Pair, PFirst, Question, Status, Usage, VerdictFormat
from aifeedback.verdicts import read_verdict

EXAMPLES = Path(__file__).parents[1] / "examples"
LETTER = VerdictFormat("letter", {"A": PFirst(1.0), "B": PFirst(0.0), "C": PFirst(0.5)})
NO_TIE = VerdictFormat("letter", {"A": PFirst(1.0), "B": PFirst(0.0)})
FORMATS = {
    "letter": LETTER,
    "letter without tie": NO_TIE,
    "json": VerdictFormat("json", {"first": PFirst(1.0), "second": PFirst(0.0), "tie": PFirst(0.5)}),
    "tags": VerdictFormat("tags", {"[[A]]": PFirst(1.0), "[[B]]": PFirst(0.0), "[[C]]": PFirst(0.5)}),
    "arena": VerdictFormat(
        "tags",
        {
            "[[A>>B]]": PFirst(1.0),
            "[[A>B]]": PFirst(0.75),
            "[[A=B]]": PFirst(0.5),
            "[[B>A]]": PFirst(0.25),
            "[[B>>A]]": PFirst(0.0),
        },
        which="agreeing",
        soft=False,
    ),
    "claim": VerdictFormat("claim", {"Output (a)": PFirst(1.0), "Output (b)": PFirst(0.0)}),
}
EXCHANGED = {"first": "second", "second": "first", "tie": "tie"}
LONG = "Bring the water to the boil, add the rice, cover it, and wait for twelve minutes on a low heat."


def question(
    a: Content,
    b: Content,
    *,
    prompt: Content = "How do I boil rice?",
    form: VerdictFormat = LETTER,
    order: Order = Order.AB,
) -> Question:
    return Question((), form, Pair("1", prompt, a, b), order)


@given(prompt=st.text(max_size=80), a=st.text(max_size=200), b=st.text(max_size=200))
def test_exchanging_the_responses_exchanges_the_verdict(prompt: str, a: str, b: str):
    ab, ab_reason = judge(question(a, b, prompt=prompt))
    ba, ba_reason = judge(question(a, b, prompt=prompt, order=Order.BA))
    assert ba == EXCHANGED[ab]
    assert ab_reason == ba_reason
    assert judge(question(b, a, prompt=prompt))[0] == ba


@given(a=st.text(max_size=4), b=st.text(max_size=4))
def test_without_a_tie_to_offer_both_orders_still_agree_on_the_response(a: str, b: str):
    ab, _ = judge(question(a, b, form=NO_TIE))
    ba, _ = judge(question(a, b, form=NO_TIE, order=Order.BA))
    assert ba == (EXCHANGED[ab] if a != b else ab)


def test_without_a_tie_identical_responses_never_get_a_label():
    orders = [judge(question("Same.", "Same.", form=NO_TIE, order=order))[0] for order in Order]
    assert orders == ["first", "first"]


def test_a_toss_can_fall_on_either_side():
    fallen = {judge(question(f"x{number}", f"y{number}", form=NO_TIE))[0] for number in range(40)}
    assert fallen == {"first", "second"}


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (LONG, "Boil it."),
        ("Boil it.", ""),
        ("Boil it.", "\u200b \n"),
        (LONG, "I'm sorry, but I can't help with that request, since I have no hands and no kitchen of my own."),
        (LONG, "Boil the rice. " * 30),
        (LONG, "How do I boil rice? How do I boil rice? How do I boil rice?"),
        (LONG, LONG[:-14] + "on a,"),
    ],
    ids=["longer", "not empty", "visible", "no refusal", "no repetition", "no echo", "finished"],
)
def test_the_better_looking_response_is_preferred(better: str, worse: str):
    assert judge(question(better, worse))[0] == "first"


@pytest.mark.parametrize("text", ["Same.", "", "\ud800", "答"], ids=["words", "nothing", "lone surrogate", "Chinese"])
def test_identical_responses_are_a_tie(text: str):
    place, reasoning = judge(question(text, text))
    assert place == "tie"
    assert reasoning == "Surface features only; they tell nothing between the two."


def test_a_lone_surrogate_is_judged_like_any_character():
    assert judge(question("\ud800", "\ud801", form=NO_TIE))[0] in {"first", "second"}


def test_of_a_dialogue_the_last_request_counts():
    turns = (Message("user", "Where is Rome?"), Message("assistant", "In Italy."), Message("user", "Name a river."))
    a, b = "the river Tiber", "the Roman Tiber"
    assert judge(question(a, b, prompt=turns)) == judge(question(a, b, prompt="Name a river."))
    assert judge(question(a, b, prompt=turns))[0] == "first"


def test_a_dialogue_without_a_user_is_read_as_a_whole():
    assert judge(question("a river", "a brook", prompt=(Message("system", "Name a brook."),)))[0] == "second"


def test_responses_may_be_dialogues():
    a = (Message("assistant", "Boil it."), Message("user", "How?"), Message("assistant", LONG))
    assert judge(question(a, "Boil it."))[0] == "first"


@pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("order", list(Order))
async def test_its_reply_is_read_back_as_its_verdict_in_every_form(form: VerdictFormat, order: Order):
    asked = question(LONG, "Boil it.", form=form, order=order)
    reply = await BuiltinCritic().ask(asked)
    reading = read_verdict(reply, form)
    assert reading.status is None
    assert reading.p_first == (1.0 if order is Order.AB else 0.0)


@pytest.mark.parametrize("name", ["letter", "json", "tags", "arena"])
async def test_a_tie_is_read_back_as_a_tie(name: str):
    reply = await BuiltinCritic().ask(question("Same.", "Same.", form=FORMATS[name]))
    assert read_verdict(reply, FORMATS[name]).p_first == 0.5


async def test_a_reply_names_its_version_is_complete_and_costs_nothing():
    reply = await BuiltinCritic().ask(question(LONG, "Boil it."))
    assert (reply.model, reply.finish_reason, reply.usage, reply.complete) == (MODEL, "stop", Usage(), True)


async def test_its_reasoning_says_that_only_the_surface_was_seen_and_which_features_decided():
    reply = await BuiltinCritic().ask(question(LONG, "Boil it.", form=FORMATS["json"]))
    assert "Surface features only; for the chosen one speaks: longer (95 against 8 characters)" in reply.content


async def test_a_form_that_can_not_say_the_verdict_is_given_up_and_never_answered_otherwise():
    only_first = VerdictFormat("letter", {"A": PFirst(1.0), "C": PFirst(0.5)})
    with pytest.raises(GiveUp) as caught:
        await BuiltinCritic().ask(question("Boil it.", LONG, form=only_first))
    assert caught.value.status is Status.FAILED


def agreement(path: Path) -> float:
    """The share of pairs with a gold side that the critic names; a tie counts half."""
    hits = []
    for line in path.read_text(encoding="utf-8").split("\n"):
        record = json.loads(line) if line else {}
        if record.get("gold") in {"a", "b"}:
            prompt = record["prompt"]
            turns = prompt if isinstance(prompt, str) else tuple(Message(**turn) for turn in prompt)
            place, _ = judge(question(record["response_a"], record["response_b"], prompt=turns))
            hits.append(0.5 if place == "tie" else float((place == "first") == (record["gold"] == "a")))
    return sum(hits) / len(hits)


def test_it_agrees_with_people_on_pandalm_a_little_more_often_than_length_does(data: Path):
    assert 0.66 <= agreement(data / "pandalm_test.jsonl") <= 0.74


def test_it_is_below_chance_where_the_better_answer_looks_worse():
    assert agreement(EXAMPLES / "adversarial.jsonl") < 0.5
