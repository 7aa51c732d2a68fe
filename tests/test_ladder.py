"""Asking again: twice the room for what was cut off, one rung down for what can't be read, and never beyond a budget."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

import aifeedback as af
from aifeedback.api import Options
from aifeedback.critics.endpoint import EndpointCritic
from aifeedback.endpoints.address import EndpointSettings, resolve
from aifeedback.endpoints.chat import ChatParameters
from aifeedback.endpoints.features import Features
from aifeedback.errors import BudgetSpent, GiveUp
from aifeedback.job import run_job
from aifeedback.labeling import Progress
from aifeedback.records import Message, Order, Pair, PFirst, Question, Reply, Status, Usage, VerdictFormat
from aifeedback.testing import ScriptedCritic, StartServer
from aifeedback.testing.server import Server
from aifeedback.verdicts.form import form_of
from tests.conftest import Command, read_lines, some_pairs, write_lines
from tests.test_http import critic, serving
from tests.test_http import reply as responding

FORM = VerdictFormat("json", {"A": PFirst(1.0), "B": PFirst(0.0), "tie": PFirst(0.5)})
A = '{"analysis": "It cites sources.", "verdict": "A"}'
QUESTION = Question((), FORM, Pair("1", "p", "a", "b"), Order.AB)


@dataclass
class Ran:
    """What one run came to."""

    summary: Mapping[str, Any]
    labels: list[tuple[object, object]]
    rest: list[dict[str, Any]]
    notes: list[str]
    bodies: list[dict[str, Any]]
    stopped: BaseException | None

    @property
    def requests(self) -> tuple[int, int, int]:
        """Sent, of these not a question's first, and answered from the store."""
        counts = self.summary["requests"]
        return counts["sent"], counts["retried"], counts["from_store"]

    def limits(self) -> list[int]:
        """What was asked for at most, request by request."""
        return [body["max_tokens"] for body in self.bodies]


class Label:
    """The same pairs again and again, with one store."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, server: Server | None, *, pairs: int = 1, **options: Any) -> Ran:
        if server is not None:
            server.reset()
            options = {"critic": "vllm/m", "base_url": server.url, **options}
        pairs_file, out = write_lines(self._folder / "pairs.jsonl", some_pairs(pairs)), self._folder / "out.jsonl"
        notes: list[str] = []
        job = Options(**{"store": self._folder / "s.sqlite", **options}).job([str(pairs_file)], str(out))
        result = asyncio.run(run_job(job, environment={}, note=notes.append))
        bodies = [request["body"] for request in server.requests()] if server is not None else []
        assert server is None or len(bodies) == result.summary["requests"]["sent"]
        labels = [(row["id"], row["chosen"]) for row in read_lines(out)]
        rest = read_lines(self._folder / "out.rest.jsonl")
        assert len(labels) + len(rest) == pairs
        # Said of each server that has none, and no step of the ladder.
        told = [note for note in notes if "gives no log probabilities" not in note]
        return Ran(result.summary, labels, rest, told, bodies, result.stopped)


@pytest.fixture
def label(tmp_path: Path) -> Label:
    return Label(tmp_path)


# Cut off


def test_a_reply_that_was_cut_off_is_asked_once_more_with_twice_the_room(
    label: Label, critic_server: StartServer
) -> None:
    server = critic_server(faults=["long:300"])
    ran = label(server, max_tokens=200)
    assert (len(ran.labels), ran.requests, sorted(ran.limits())) == (1, (4, 2, 0), [200, 200, 400, 400])
    again = label(server, max_tokens=200)
    assert (again.labels, again.requests) == (ran.labels, (0, 0, 2))
    assert label(server, max_tokens=300, store=None).requests == (2, 0, 0)


def test_what_is_cut_off_with_twice_the_room_stays_unparsed_is_not_kept_and_is_told_at_the_end(
    label: Label, critic_server: StartServer
) -> None:
    server = critic_server(faults=["long:500"])
    for _ in range(2):
        ran = label(server, max_tokens=200)
        assert (ran.labels, ran.requests, sorted(ran.limits())) == ([], (4, 2, 0), [200, 200, 400, 400])
        assert [(row["status"], row["reason"].partition(":")[0]) for row in ran.rest] == [("unparsed", "the reply was cut off")]  # fmt: skip
        assert ran.notes == ["vllm/m: 2 replies stayed cut off at their length. Raise --max-tokens (now 200), which asks every question anew."]  # fmt: skip


def test_how_long_a_reply_was_that_stayed_cut_off_is_told_of_the_longest() -> None:
    class TooTalkative:
        name = "talker"

        async def ask(self, question: Question) -> Reply:
            return Reply("Well", finish_reason="length", usage=Usage(10, 0, 200 * question.room))

        def anew(self, question: Question, reply: Reply) -> Question | None:
            return replace(question, room=2) if question.room == 1 else None

    [label] = af.label(some_pairs(1), critic=TooTalkative())
    assert (label.status, label.reason) == (Status.UNPARSED, "the reply was cut off: after 400 tokens")


def test_twice_the_room_that_is_refused_leaves_the_first_reply_and_teaches_nothing(
    label: Label, critic_server: StartServer
) -> None:
    server = critic_server(faults=["long:300", "400-large:250"])
    ran = label(server, max_tokens=200)
    assert sorted(ran.limits()) == [200, 200, 400, 400]
    assert [row["status"] for row in ran.rest] == ["unparsed"]
    assert [note.partition(" Raise")[0] for note in ran.notes] == ["vllm/m: 2 replies stayed cut off at their length."]
    server.faults()
    assert set(label(server, max_tokens=200).limits()) == {200}, "max_tokens keeps its name"


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_a_limit_of_the_users_own_is_not_doubled(label: Label, critic_server: StartServer, name: str) -> None:
    ran = label(critic_server(faults=["long:300"]), max_tokens=299, extra_body={"max_tokens": 200, name: 200})
    assert (ran.requests, ran.limits()) == ((2, 0, 0), [200, 200])
    assert ran.notes == ["vllm/m: 2 replies stayed cut off at their length. Raise max_tokens in --extra-body."]


def test_what_a_run_will_have_cost_counts_what_is_asked_again(tmp_path: Path, critic_server: StartServer) -> None:
    pairs, told = write_lines(tmp_path / "pairs.jsonl", some_pairs(40)), list[float]()
    options = {"base_url": critic_server(faults=["long:300"]).url, "max_tokens": 200, "price": (0.0, 10.0), "store": None, "concurrency": 4}  # fmt: skip
    job = Options("vllm/m", **options).job([str(pairs)], str(tmp_path / "out.jsonl"))
    seen: list[Progress] = []

    async def run() -> Mapping[str, Any]:
        running = asyncio.create_task(run_job(job, environment={}, watch=lambda progress, _: seen.append(progress)))
        while not running.done():
            await asyncio.sleep(0.02)
            # A question that is on its way has only half its cost told.
            if seen and seen[0].spending.answered > 20 and (cost := seen[0].projected_usd()) is not None:
                told.append(cost)
        return (await running).summary

    cost = asyncio.run(run())["cost_usd"]
    assert told[-1] == pytest.approx(cost)
    assert all(0.8 * cost < projected < 1.25 * cost for projected in told)


def test_asking_again_sets_its_own_worst_case_aside(label: Label, critic_server: StartServer) -> None:
    server = critic_server(faults=["long:300"])
    # Output alone costs: a request is 200 tokens at most, with twice the room 400.
    price = {"price": (0.0, 1000.0), "max_tokens": 200, "orders": "ab"}
    enough = label(server, max_cost=0.45, **price)
    assert (len(enough.labels), enough.requests, enough.stopped) == (1, (2, 1, 0), None)
    short = label(server, max_cost=0.39, store=None, **price)
    assert isinstance(short.stopped, BudgetSpent)
    assert (short.labels, short.requests, [row["status"] for row in short.rest]) == ([], (1, 0, 0), ["unasked"])
    counted = label(server, max_requests=1, store=None, **price)
    assert isinstance(counted.stopped, BudgetSpent)
    assert (counted.requests, [row["status"] for row in counted.rest]) == ((1, 0, 0), ["unasked"])


# Unreadable


def test_what_can_not_be_read_is_asked_one_rung_down_until_it_can_and_the_run_follows(
    label: Label, critic_server: StartServer
) -> None:
    server = critic_server(faults=["ignore-schema"])
    ran = label(server, pairs=8)
    plain = label(critic_server(), pairs=8, store=None)
    assert (ran.labels, ran.rest) == (plain.labels, [])
    told = [note for note in ran.notes if "did not keep to" in note]
    assert told == [
        "vllm/m did not keep to json_schema in 3 of 3 replies and is asked in another way from now on.",
        "vllm/m did not keep to json_object in 3 of 3 replies and is asked in another way from now on.",
    ]
    assert label(server, pairs=8).requests == (0, 0, 16)
    later = label(server, pairs=10)
    assert (later.requests, [body.get("response_format") for body in later.bodies]) == ((4, 0, 16), [None] * 4)


def test_a_form_that_is_only_sometimes_missed_is_asked_for_on(label: Label, critic_server: StartServer) -> None:
    ran = label(critic_server(faults=["ignore-schema:0.1", "400-failed:0.1"], seed=3), pairs=15, concurrency=1)
    assert (len(ran.labels), ran.rest) == (15, [])
    assert ran.requests[1] > 0, "some were asked again"
    assert ran.notes == []


def test_a_server_that_says_each_time_that_the_model_failed_is_asked_one_rung_down(
    label: Label, critic_server: StartServer
) -> None:
    server = critic_server(faults=["400-failed"])
    ran = label(server, pairs=8)
    assert (len(ran.labels), ran.rest) == (8, [])
    assert sum("did not keep to" in note for note in ran.notes) == 2
    assert label(server, pairs=9).requests == (2, 0, 16)


def test_a_form_of_the_users_own_is_never_changed(label: Label, critic_server: StartServer) -> None:
    own = {"response_format": {"type": "json_object"}}
    ran = label(critic_server(faults=["ignore-schema"]), pairs=3, extra_body=own)
    assert (ran.requests, [row["status"] for row in ran.rest], ran.notes) == ((6, 0, 0), ["unparsed"] * 3, [])
    assert {row["reason"] for row in ran.rest} == {'no JSON object with "verdict"'}


def test_claude_goes_from_a_tool_that_it_must_use_to_plain_text(label: Label, critic_server: StartServer) -> None:
    server = critic_server(faults=["ignore-schema"])
    ran = label(server, pairs=8, critic="anthropic/m", concurrency=1)
    assert (len(ran.labels), ran.rest) == (8, [])
    choices = [body.get("tool_choice", {}).get("type") for body in ran.bodies]
    assert choices == 3 * ["tool", "auto", None] + 2 * ["auto", None] + 11 * [None]
    assert sum("did not keep to" in note for note in ran.notes) == 2
    assert label(server, pairs=8, critic="anthropic/m").requests == (0, 0, 16)
    server.faults("long:300")
    cut = label(server, critic="anthropic/m", max_tokens=200, orders="ab")
    assert (len(cut.labels), cut.limits()) == (1, [200, 400])


class Twice(ScriptedCritic):
    """A critic of one's own that knows another way to ask."""

    def anew(self, question: Question, reply: Reply) -> Question | None:
        return replace(question, down=question.down + 1) if "B" not in reply.content and question.down < 3 else None


@pytest.mark.parametrize(
    ("replies", "said"),
    [
        (["?", "B"], "B"),
        (["?", "!", "B"], "B"),
        (["?", "!", "-", "+"], "+"),
        (["?", GiveUp("no", status=Status.REFUSED)], "?"),
        (["?", "!", GiveUp("no", status=Status.FAILED)], "!"),
        (["?", Reply("", finish_reason="length"), Reply(""), Reply("")], "?"),
        ([Reply("", finish_reason="length"), "!", Reply(""), Reply("")], "!"),
    ],
    ids=["readable", "at last", "the last one", "no further answer", "the last before", "the first", "the complete one"],
)  # fmt: skip
def test_a_readable_reply_counts_else_the_last_complete_one(label: Label, replies: list[Any], said: str) -> None:
    critic = Twice(replies)
    ran = label(None, critic=critic, template="quick", orders="ab")
    assert [question.down for question in critic.questions] == list(range(len(replies)))
    assert ran.requests == (len(replies), len(replies) - 1, 0)
    critic_of_now = ScriptedCritic([])
    critic_of_now.name = critic.name
    assert label(None, critic=critic_of_now, template="quick", orders="ab").requests == (0, 0, 1)
    assert bool(ran.labels) == (said == "B")


def test_a_critic_of_ones_own_is_asked_once(label: Label) -> None:
    ran = label(None, critic=ScriptedCritic([Reply("", finish_reason="length"), "?"]))
    assert (ran.requests, [row["status"] for row in ran.rest]) == ((2, 0, 0), ["unparsed"])


# What a reply says about the form


@pytest.mark.parametrize(
    ("reply", "form"),
    [
        (Reply(A), "kept"),
        (Reply('{"verdict": "A", "analysis": "x"}'), "kept"),
        (Reply('[{"analysis": "x", "verdict": "Response A"}]'), "kept"),
        (Reply(f"<think>Hm.</think>{A}"), "kept"),
        (Reply('{"analysis": "All in all, Response B is better.", "verdict": "A"}'), "kept"),
        (Reply('{"analysis": "x", "verdict": "A", "verdict": "B"}'), "unreadable"),
        (Reply('{"analysis": "x", "verdict": ["A"]}'), "unreadable"),
        (Reply('{"analysis": "x", "verdict": "D"}'), "unreadable"),
        (Reply("[1]"), "unreadable"),
        (Reply("It is better. My verdict: [[A]]"), "unreadable"),
        (Reply(""), "unreadable"),
        (Reply("<think>Hm."), "unreadable"),
        (Reply(f"```json\n{A}\n```"), "strayed"),
        (Reply(f"Here you are: {A}"), "strayed"),
        (Reply("**A**"), "strayed"),
        (Reply("", reasoning=A), "strayed"),
        (Reply(A, finish_reason="length"), "none"),
        (Reply(A, finish_reason="content_filter"), "none"),
        (Reply(A, refusal="No."), "none"),
        (Reply("I'm sorry, but I can't assist with that."), "none"),
    ],
)
def test_what_a_reply_says_about_the_form(reply: Reply, form: str) -> None:
    assert form_of(replace(reply, rung="json_schema"), FORM) == form


def critic_at(features: Features, **extra_body: object) -> tuple[EndpointCritic, list[tuple[Features, str]]]:
    learnt: list[tuple[Features, str]] = []
    address = resolve(EndpointSettings("vllm/m", "http://127.0.0.1:9/v1"), {})
    return EndpointCritic(
        address, ChatParameters("m", 0.0, 100, "", extra_body), timeout_s=5, connections=1, features=features,
        on_learnt=lambda now, said: learnt.append((now, said)),
    ), learnt  # fmt: skip


def test_an_endpoint_steps_down_after_three_strays_that_outnumber_the_others() -> None:
    critic, learnt = critic_at(Features())
    kept, strayed = Reply(A, rung="json_schema"), Reply(f"So: {A}", rung="json_schema")
    for reply in (kept, kept, kept, strayed, strayed, strayed):
        assert critic.anew(QUESTION, reply) is None
    assert learnt == []
    critic.anew(QUESTION, strayed)
    assert learnt == [(Features(rung=1), "did not keep to json_schema in 4 of 7 replies")]
    for _ in range(9):  # replies that were on their way
        critic.anew(QUESTION, strayed)
    assert len(learnt) == 1


def test_a_question_goes_one_rung_down_from_where_its_reply_came_whatever_was_learnt_meanwhile() -> None:
    prose = Reply("It is better: [[A]]", rung="json_schema")
    for features, down in ((Features(), 1), (Features(rung=1), 0), (Features(rung=2), 0)):
        assert critic_at(features)[0].anew(QUESTION, prose) == replace(QUESTION, down=down)
    critic, _ = critic_at(Features(dropped=("json_object",)))
    assert critic.anew(QUESTION, prose) == replace(QUESTION, down=1), "which is text"
    lower = replace(QUESTION, down=1)
    assert critic_at(Features())[0].anew(lower, replace(prose, rung="json_object")) == replace(QUESTION, down=2)
    assert critic_at(Features())[0].anew(replace(QUESTION, down=2), replace(prose, rung="text")) is None
    assert critic_at(Features(), response_format={"type": "json_schema"})[0].anew(QUESTION, prose) is None


@pytest.mark.parametrize(
    ("ending", "features", "room"),
    [
        ("length", Features(), 2),
        ("MAX_TOKENS", Features(max_tokens_name="max_completion_tokens"), 2),
        ("model_context_window_exceeded", Features(), None),
        ("length", Features(dropped=("max_tokens", "max_completion_tokens")), None),
    ],
)
def test_twice_the_room_is_given_where_it_is_one_of_ours(ending: str, features: Features, room: int | None) -> None:
    critic, _ = critic_at(features)
    cut = Reply(A, finish_reason=ending, rung="json_schema")
    again = critic.anew(QUESTION, cut)
    assert (again.room if again else None) == room
    assert critic.anew(replace(QUESTION, room=2), cut) is None


# Reasoning models


def test_thinking_is_counted_priced_and_kept_out_of_labels(
    aifeedback: Command, critic_server: StartServer, tmp_path: Path
) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(2))
    server = critic_server(faults=["reasoned"])
    command = ["label", "pairs.jsonl", "--critic", "vllm/m", "--base-url", server.url, "--reasoning-effort", "high", "--price", "0,10", "-o", "-"]  # fmt: skip
    ended = aifeedback(*command, "--summary", "s.json")
    assert (ended.code, len(ended.rows)) == (0, 2), ended.err
    assert {request["body"]["reasoning_effort"] for request in server.requests()} == {"high"}
    assert "let me think again" not in ended.out
    assert "shows any thinking" not in ended.err
    summary = json.loads((tmp_path / "s.json").read_text())
    tokens = summary["tokens"]
    assert 0 < tokens["reasoning"] < tokens["output"] == server.stats()["tokens"]["output"]
    assert summary["cost_usd"] == pytest.approx(tokens["output"] * 10 / 1e6)
    full = aifeedback(*command, "--explain", "full")
    assert full.out.count("let me think again") == 4, "from the store"
    server.faults("think")
    tagged = aifeedback(*command, "--template", "tags")
    assert "At first sight" not in tagged.out
    assert "shows any thinking" not in tagged.err


def test_the_command_tells_once_what_it_found_out_and_what_did_not_come(
    aifeedback: Command, critic_server: StartServer, tmp_path: Path
) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(4))
    server = critic_server(faults=["embedded", "400-temperature", "400-system"])
    command = ["label", "pairs.jsonl", "--critic", "vllm/m", "--base-url", server.url, "-o", "out.jsonl"]
    ended = aifeedback(*command, "--reasoning-effort", "low")
    assert ended.code == 0, ended.err
    told = [line for line in ended.err.splitlines() if "vllm/m" in line and ("refused" in line or "keep" in line or "thinking" in line)]  # fmt: skip
    assert [line.partition("vllm/m")[2] for line in told] == [
        " refused a parameter (Unsupported value: 'temperature' does not support 0.0 with this model. Only the default (1) value is supported.; System role not supported) and is asked in another way from now on.",
        " did not keep to json_schema in 3 of 3 replies and is asked in another way from now on.",
        ": --reasoning-effort low was asked for, and no reply shows any thinking, neither as tokens nor as text. The JSON mode of some servers switches it off: try --template tags.",
    ]  # fmt: skip
    server.faults("long:100")
    cut = aifeedback(*command, "--max-tokens", "40")
    assert cut.code == 1
    assert "vllm/m: 8 replies stayed cut off at their length. Raise --max-tokens (now 40)" in cut.err


@pytest.mark.parametrize(
    ("status", "message", "learnt"),
    [
        (403, "You are not allowed to use response_format with this model", Features(rung=1)),
        (403, "temperature may not be set on this deployment", Features(dropped=("temperature=0.0",))),
        (500, "Failed to parse grammar", Features(rung=1)),
        (
            500,
            "Value is not callable: {{ raise_exception('System role not supported') }}",
            Features(dropped=("system",)),
        ),
    ],
)
async def test_what_is_refused_with_an_odd_status_is_left_out_too(status: int, message: str, learnt: Features) -> None:
    refused = responding(json.dumps({"error": {"message": message}}).encode(), status=status)
    answered = responding(json.dumps({"choices": [{"message": {"content": A}, "finish_reason": "stop"}]}).encode())
    told: list[tuple[Features, str]] = []
    async with serving(refused, answered) as (url, seen), critic(url, told) as one:
        assert (await one.ask(replace(QUESTION, messages=(Message("system", "s"), Message("user", "u"))))).content == A
    assert ([features for features, _ in told], len(seen)) == ([learnt], 2)
