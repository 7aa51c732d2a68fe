"""Log probabilities over HTTP: asked for as far as an endpoint goes, and the same labels where it gives none."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from aifeedback.endpoints.features import Features
from aifeedback.errors import CriticGone, SettingsError
from aifeedback.jsontext import dumps
from aifeedback.records import Message, Order, Pair, PFirst, Question, Reply, Token, VerdictFormat
from aifeedback.testing import Server, StartServer
from aifeedback.testing.logprobs import parse_odds
from tests.conftest import write_lines
from tests.test_http import critic, serving
from tests.test_http import reply as responding

ANSWERS = {"A": PFirst(1.0), "B": PFirst(0.0), "tie": PFirst(0.5)}
WORDING = {
    "json": 'Say {"analysis": "why", "verdict": "A, B or tie"}.',
    "letter": "Say A, B or C and nothing else: one letter.",
    "tags": "End with [[A]], [[B]] or [[C]].",
}
FORMATS = {
    "json": VerdictFormat("json", ANSWERS),
    "letter": VerdictFormat("letter", {"A": PFirst(1.0), "B": PFirst(0.0), "C": PFirst(0.5)}),
    "tags": VerdictFormat("tags", {"[[A]]": PFirst(1.0), "[[B]]": PFirst(0.0), "[[C]]": PFirst(0.5)}),
}
ODDS = "A:0.6,B:0.3, A:0.05"


def question(kind: str) -> Question:
    return Question((Message("user", WORDING[kind]),), FORMATS[kind], Pair("1", "p", "a", "b"), Order.AB)


async def asked(server: Server, *questions: Question) -> tuple[list[Reply], list[tuple[Features, str]]]:
    learnt: list[tuple[Features, str]] = []
    async with critic(server.url, learnt) as one:
        return [await one.ask(each) for each in questions], learnt


def verdict_token(reply: Reply) -> Token:
    """The token that was served with the distribution."""
    return next(token for token in reversed(reply.tokens) if len(token.alternatives) in {3, 4})


@pytest.fixture(scope="module")
def odds() -> Server:
    with Server(logprobs=ODDS) as started:
        yield started


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize(
    "fault",
    ["", "400-top-logprobs:5", "legacy-logprobs", "logprobs-elsewhere", "event-stream", "think", "reasoning-content"],
)
async def test_the_distribution_that_is_served_arrives_at_the_verdict(odds: Server, kind: str, fault: str):
    odds.faults(*filter(None, [fault]))
    (reply,), learnt = await asked(odds, question(kind))
    token = verdict_token(reply)
    assert reply.said[token.start : token.end] in {"A", "B", "tie", "C"}
    served = {spelling: math.exp(value) for spelling, value in token.alternatives}
    assert {name: served[name] for name in ("A", "B", " A")} == pytest.approx({"A": 0.6, "B": 0.3, " A": 0.05})
    if fault == "400-top-logprobs:5":
        assert [features.top_logprobs for features, _ in learnt] == [5]
        assert {len(one.alternatives) for one in reply.tokens} <= {3, 4, 5}
    else:
        assert learnt == []


async def test_a_token_may_span_the_quote_or_the_bracket_beside_the_verdict():
    seen = {}
    for spanning in ("before", "after", "both"):
        with Server(logprobs="A:0.6,B:0.4", answer="first", spanning=spanning) as server:
            replies, _ = await asked(server, *map(question, FORMATS))
        for kind, reply in zip(FORMATS, replies, strict=True):
            token = next(one for one in reversed(reply.tokens) if len(one.alternatives) == 2)
            seen[kind, spanning] = (reply.said[token.start : token.end], token.alternatives[1][0])
    assert seen == {
        ("json", "before"): ('"A', '"B'), ("json", "after"): ('A"', 'B"'), ("json", "both"): ('"A"', '"B"'),
        ("tags", "before"): ("[A", "[B"), ("tags", "after"): ("A]", "B]"), ("tags", "both"): ("[A]", "[B]"),
        **{("letter", spanning): ("A", "B") for spanning in ("before", "after", "both")},
    }  # fmt: skip


async def test_a_scripted_answer_brings_its_own_tokens(critic_server: StartServer, tmp_path: Path):
    listed = [
        {"token": text, "logprob": -0.1, "top_logprobs": [{"token": text, "logprob": -0.1}]} for text in ("It is ", "A")
    ]
    script = write_lines(tmp_path / "script.jsonl", [{"match": "", "content": "It is A", "logprobs": listed}])
    (reply,), _ = await asked(critic_server(script=script), question("tags"))
    assert reply.tokens == (Token(0, 6, (("It is ", -0.1),)), Token(6, 7, (("A", -0.1),)))


@pytest.mark.parametrize("fault", ["400-logprobs", "403-logprobs"])
async def test_an_endpoint_that_refuses_log_probabilities_is_asked_without(odds: Server, fault: str):
    odds.faults(fault)
    before = odds.stats()["requests"]
    replies, learnt = await asked(odds, question("json"), question("tags"))
    assert [reply.tokens for reply in replies] == [(), ()]
    assert odds.stats()["requests"] - before == 3
    assert [(features, said.partition(" (")[0]) for features, said in learnt] == [
        (Features(top_logprobs=0), "refused a parameter")
    ]


async def test_a_key_that_may_do_nothing_is_no_word_on_log_probabilities(odds: Server):
    odds.faults("403")
    with pytest.raises(CriticGone, match="not allowed to use this model"):
        await asked(odds, question("json"))


async def test_a_key_that_is_spelled_in_bytes_among_the_alternatives_goes_no_further():
    key = "sk-echoed-by-the-endpoint"

    def entry(text: str) -> dict[str, object]:
        return {"token": "?", "logprob": -1.0, "bytes": list(text.encode())}

    listed = [entry("A") | {"top_logprobs": [entry("A"), entry(key)]}]
    choice = {"message": {"content": "A"}, "finish_reason": "stop", "logprobs": {"content": listed}}
    async with serving(responding(dumps({"choices": [choice]}))) as (url, _):
        async with critic(url, KEY=key) as one:
            assert (await one.ask(question("letter"))) == Reply("A", finish_reason="stop")
        async with critic(url, KEY="sk-another-one-altogether") as one:
            assert len((await one.ask(question("letter"))).tokens) == 1


@pytest.mark.parametrize(
    "text", ["", "A", "A:", "A:x", ":0.5", "A:0", "A:1.5", "A:-1", "A:nan", "A:0.6,B:0.5", "A:0.5,"]
)
def test_a_distribution_that_is_none_is_refused(text: str):
    with pytest.raises(SettingsError, match="Write A:0"):
        parse_odds(text)


async def test_an_endpoint_that_drops_them_is_asked_for_no_more_after_three_replies(odds: Server):
    odds.faults("no-logprobs")
    before = odds.stats()["requests"]
    hard = replace(question("json"), format=replace(FORMATS["json"], soft=False))
    _, learnt = await asked(odds, hard, hard, hard, *[question("json")] * 5)
    bodies = [request["body"] for request in odds.requests(before)][-8:]
    assert ["logprobs" in body for body in bodies] == [False] * 3 + [True] * 3 + [False] * 2
    assert learnt == [(Features(top_logprobs=0), "gives no log probabilities, so its verdicts are hard,")]
