"""The Messages API as bytes: what Claude is asked, and what its answers and errors mean."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aifeedback.endpoints.chat import ChatParameters
from aifeedback.endpoints.features import Features
from aifeedback.endpoints.messages import adapt, body, meaning, most, most_output, read_refusal, read_reply
from aifeedback.errors import AifeedbackError, Busy, CriticGone, GiveUp, Hiccup
from aifeedback.records import Message, Order, Pair, PFirst, Question, Reply, Status, Usage, VerdictFormat
from aifeedback.verdicts import read_verdict

JSON = VerdictFormat("json", {"A": PFirst(1.0), "B": PFirst(0.0), "tie": PFirst(0.5)})
TAGS = VerdictFormat("tags", {"[[A]]": PFirst(1.0), "[[B]]": PFirst(0.0)})
PAIR = Pair("1", "p", "one", "two")
HEAD = (Message("system", "You judge."), Message("user", "shown"), Message("assistant", "answered"))
QUESTION = Question((*HEAD, Message("user", "Which?")), JSON, PAIR, Order.AB, fixed=3)
PARAMETERS = ChatParameters("claude-m", 0.0, 2048, "", {})
CALLED = {"type": "tool_use", "id": "t", "name": "verdict", "input": {"analysis": "Because.", "verdict": "B"}}
SENT = body(QUESTION, PARAMETERS, Features())


def answer(*blocks: dict[str, Any], stop_reason: str | None = "end_turn", **more: object) -> bytes:
    return orjson.dumps(
        {"type": "message", "model": "claude-m-1", "content": blocks, "stop_reason": stop_reason, **more}
    )


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}


def wants(effort: str = "", **extra: object) -> ChatParameters:
    return replace(PARAMETERS, reasoning_effort=effort, extra_body=extra)


def test_a_request_forces_the_verdict_and_marks_what_is_the_same_for_all_pairs() -> None:
    fields: dict[str, Any] = body(QUESTION, PARAMETERS, Features())
    assert fields == {
        "model": "claude-m",
        "max_tokens": 2048,
        "temperature": 0.0,
        "system": [{"type": "text", "text": "You judge."}],
        "messages": [
            {"role": "user", "content": "shown"},
            {"role": "assistant", "content": [text("answered") | {"cache_control": {"type": "ephemeral"}}]},
            {"role": "user", "content": "Which?"},
        ],
        "tools": [
            {
                "name": "verdict",
                "description": "Records your verdict. Use it once, instead of writing the JSON object.",
                "input_schema": {
                    "type": "object",
                    "properties": {"analysis": {"type": "string"}, "verdict": {"type": "string", "enum": ["A", "B", "tie"]}},
                    "required": ["analysis", "verdict"],
                    "additionalProperties": False,
                },
            }
        ],
        "tool_choice": {"type": "tool", "name": "verdict", "disable_parallel_tool_use": True},
    }  # fmt: skip
    assert list(fields["tools"][0]["input_schema"]["properties"]) == ["analysis", "verdict"]


def test_a_system_prompt_alone_is_marked_and_one_that_changes_is_not() -> None:
    alone = replace(QUESTION, messages=(HEAD[0], Message("user", "Which?")), fixed=1)
    marked = [text("You judge.") | {"cache_control": {"type": "ephemeral"}}]
    assert body(alone, PARAMETERS, Features())["system"] == marked
    assert body(replace(alone, fixed=0), PARAMETERS, Features())["system"] == [text("You judge.")]
    assert body(alone, PARAMETERS, Features(dropped=("cache_control",)))["system"] == [text("You judge.")]
    assert "system" not in body(replace(alone, messages=(Message("system", ""), *HEAD[1:2])), PARAMETERS, Features())


def test_only_a_json_verdict_has_a_tool_and_each_step_down_asks_for_less() -> None:
    assert not {"tools", "tool_choice"} & set(body(replace(QUESTION, format=TAGS), PARAMETERS, Features()))
    for question, features in ((replace(QUESTION, down=1), Features()), (QUESTION, Features(rung=1))):
        fields = body(question, PARAMETERS, features)
        assert fields["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
    assert "tools" not in body(replace(QUESTION, down=2), PARAMETERS, Features())
    assert "tools" not in body(replace(QUESTION, down=1), PARAMETERS, Features(rung=2))


def test_thinking_is_asked_for_in_the_newest_form_that_is_not_refused() -> None:
    newest = body(QUESTION, wants("high"), Features())
    assert newest["thinking"] == {"type": "adaptive", "display": "summarized"}
    assert newest["output_config"] == {"effort": "high"}
    older = body(QUESTION, wants("high"), Features(dropped=("thinking.adaptive",)))
    assert older["thinking"] == {"type": "enabled", "budget_tokens": 8192}
    assert "output_config" not in older
    for fields in (newest, older):
        assert fields["max_tokens"] == 2048 + 8192
        assert fields["tool_choice"]["type"] == "auto"  # type: ignore[index]
        assert "temperature" not in fields
    assert "tools" not in body(replace(QUESTION, down=1), wants("high"), Features())
    none = body(QUESTION, wants("high"), Features(dropped=("thinking.adaptive", "thinking.enabled")))
    assert none == SENT
    value = Features(dropped=("output_config={'effort': 'xhigh'}", "temperature=1.5"))
    assert "output_config" not in body(QUESTION, wants("xhigh"), value)
    assert body(QUESTION, wants("high"), value)["output_config"] == {"effort": "high"}
    assert "temperature" not in body(QUESTION, replace(PARAMETERS, temperature=1.5), value)
    assert body(QUESTION, PARAMETERS, value)["temperature"] == PARAMETERS.temperature
    assert body(QUESTION, wants("none"), Features())["thinking"] == {"type": "disabled"}
    assert body(QUESTION, wants("none"), Features())["tool_choice"] == SENT["tool_choice"]


def test_what_the_user_puts_into_the_body_wins_and_its_thinking_is_given_room() -> None:
    fields = body(QUESTION, wants(thinking={"type": "enabled", "budget_tokens": 3000}, top_k=1), Features())
    assert (fields["max_tokens"], fields["top_k"], fields["tool_choice"]["type"]) == (5048, 1, "auto")  # type: ignore[index]
    assert "temperature" not in fields
    assert body(QUESTION, wants(max_tokens=9), Features())["max_tokens"] == 9


def test_twice_the_room_is_for_thinking_too_and_counts_as_the_most_that_is_billed() -> None:
    question = replace(QUESTION, room=2)
    assert body(question, wants("low"), Features())["max_tokens"] == 2 * (2048 + 2048)
    assert most(question, wants("low"), Features()).output == 8192
    assert most(QUESTION, PARAMETERS, Features()).input > len(json.dumps(SENT)) * 0.9 + 1024
    assert [most_output({"max_tokens": value}) for value in (7, True, "x")] == [7, 0, 0]
    assert most_output({}) == 0


@pytest.mark.parametrize(
    ("sent", "said", "before", "after"),
    [
        ("tools tool_choice", "Thinking may not be enabled when tool_choice forces tool use.", Features(), Features(1)),
        ("tools tool_choice", "tool_choice: type 'tool' is not supported", Features(1), Features(2)),
        ("tools tool_choice", "tools: Extra inputs are not permitted", Features(), Features(2)),
        ("temperature thinking", "`temperature` may only be set to 1 when thinking is enabled", Features(), Features(dropped=("temperature",))),
        ("temperature", "`temperature` is deprecated for this model.", Features(), Features(dropped=("temperature",))),
        ("temperature", "temperature: range: 0..1", Features(), Features(dropped=("temperature",))),
        ("thinking output_config", "adaptive thinking is not supported on this model", Features(), Features(dropped=("thinking.adaptive",))),
        ("thinking output_config", "This model does not support the effort parameter.", Features(), Features(dropped=("output_config",))),
        ("thinking output_config", "thinking.adaptive.display: Extra inputs are not permitted", Features(), Features(dropped=("thinking.display",))),
        ("thinking", '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and "output_config.effort" to control thinking behavior.', Features(dropped=("thinking.adaptive",)), Features(dropped=("thinking.adaptive", "thinking.enabled"))),
        ("system", "system.0.cache_control: Extra inputs are not permitted", Features(), Features(dropped=("cache_control",))),
        ("temperature", "Bad request.", Features(), None),
        ("temperature", "max_tokens: 99999 > 64000, which is the maximum allowed number of output tokens", Features(), None),
        ("", "`temperature` is deprecated for this model.", Features(), None),
        ("thinking", "thinking is not supported", Features(dropped=("thinking.adaptive", "thinking.enabled", "thinking.disabled")), None),
    ],
)  # fmt: skip
def test_a_refusal_teaches_how_to_ask_instead(sent: str, said: str, before: Features, after: Features | None) -> None:
    assert adapt(before, sent=frozenset(sent.split()), parameter="", message=said) == after


def test_the_input_of_the_tool_is_the_reply_and_is_read_as_json() -> None:
    usage = {"input_tokens": 10, "cache_read_input_tokens": 70, "cache_creation_input_tokens": 20, "output_tokens": 9}
    thought = {"type": "thinking", "thinking": "Hm.", "signature": "x"}
    payload = answer(
        thought, {"type": "redacted_thinking", "data": "x"}, text("I decide."), CALLED, stop_reason="tool_use",
        usage=usage | {"output_tokens_details": {"thinking_tokens": 4}},
    )  # fmt: skip
    reply = read_reply(payload, SENT)
    assert reply == Reply(
        content='{"analysis":"Because.","verdict":"B"}', reasoning="Hm.\n\nI decide.", finish_reason="tool_use",
        model="claude-m-1", rung="json_schema", usage=Usage(100, 70, 9, 4, 20),
    )  # fmt: skip
    reading = read_verdict(reply, JSON)
    assert (reading.p_first, reading.method, reading.reason) == (0.0, "json_schema", "Because.")


def test_a_verdict_that_is_written_though_there_was_a_tool_is_read_as_text() -> None:
    may = body(replace(QUESTION, down=1), PARAMETERS, Features())
    reply = read_reply(answer(text('{"analysis": "x", '), text('"verdict": "A"}')), may)
    assert (reply.rung, read_verdict(reply, JSON).p_first) == ("json_object", 1.0)
    assert read_verdict(read_reply(answer(CALLED | {"name": "other"}), may), JSON).p_first is None


@pytest.mark.parametrize("ending", ["max_tokens", "model_context_window_exceeded"])
def test_an_answer_that_was_cut_off_is_never_read_however_whole_its_input_looks(ending: str) -> None:
    reply = read_reply(answer(CALLED, stop_reason=ending), SENT)
    assert not reply.complete
    assert read_verdict(reply, JSON).status is Status.UNPARSED


def test_a_refusal_is_no_verdict_whatever_was_said_before_it() -> None:
    details = {"type": "refusal", "category": "bio", "explanation": "Not this."}
    for blocks in ((), (CALLED,), (text('{"verdict": "A"}'),)):
        reply = read_reply(answer(*blocks, stop_reason="refusal", stop_details=details), SENT)
        assert (reply.content, reply.refusal) == ("", "Not this.")
        assert read_verdict(reply, JSON).status is Status.REFUSED
    assert read_verdict(read_reply(answer(stop_reason="refusal"), SENT), JSON).status is Status.REFUSED


def test_a_turn_that_was_paused_has_failed_and_an_empty_one_says_nothing() -> None:
    paused = read_reply(answer(CALLED, stop_reason="pause_turn"), SENT)
    assert (paused.complete, read_verdict(paused, JSON).status) == (False, Status.FAILED)
    assert not read_reply(answer(), SENT).complete
    assert read_verdict(read_reply(answer(CALLED | {"input": {}}), SENT), JSON).p_first is None


def test_an_ending_that_nobody_knows_is_no_answer_however_whole_it_looks() -> None:
    with pytest.raises(GiveUp, match="not known: 'handed_over'") as caught:
        read_reply(answer(CALLED, stop_reason="handed_over"), SENT)
    assert caught.value.status is Status.FAILED


@pytest.mark.parametrize(
    "payload",
    [b"", b"<html>", b"[]", b"{}", b'{"content": "A"}', b'{"content": ["A"]}', answer(CALLED, stop_reason=None)],
)
def test_a_200_that_is_no_message_is_tried_again(payload: bytes) -> None:
    with pytest.raises(Hiccup):
        read_reply(payload, SENT)


@pytest.mark.parametrize(
    "usage", [None, 7, {}, {"input_tokens": 7}, {"output_tokens": 7}, {"input_tokens": "x", "output_tokens": 1}]
)
def test_usage_that_names_only_one_side_counts_nothing(usage: object) -> None:
    assert read_reply(answer(text("A"), usage=usage), SENT).usage == Usage()


def error(kind: str, said: str = "Words.", **details: str) -> bytes:
    about = {"type": kind, "message": said} | ({"details": details} if details else {})
    return orjson.dumps({"type": "error", "error": about, "request_id": "req_1"})


@pytest.mark.parametrize(
    ("status", "payload", "kind"),
    [
        (529, error("overloaded_error"), Busy),
        (500, error("overloaded_error"), Busy),
        (200, error("overloaded_error"), Busy),
        (429, error("rate_limit_error"), Busy),
        (200, error("rate_limit_error"), Busy),
        (429, error("rate_limit_error", error_code="enforced_spend_limit_reached"), CriticGone),
        (400, error("invalid_request_error", "You have reached your specified API usage limits."), CriticGone),
        (400, error("invalid_request_error", "Your credit balance is too low to access the Anthropic API."), CriticGone),
        (402, error("billing_error"), CriticGone),
        (401, error("authentication_error", "invalid x-api-key"), CriticGone),
        (403, error("permission_error"), CriticGone),
        (404, error("not_found_error", "model: claude-x"), CriticGone),
        (500, error("api_error"), Hiccup),
        (504, error("timeout_error"), Hiccup),
        (200, error("api_error"), Hiccup),
        (400, error("invalid_request_error", "Bad."), GiveUp),
        (200, error("invalid_request_error", "Bad."), GiveUp),
    ],
)  # fmt: skip
def test_an_error_means_what_can_be_done_about_it(status: int, payload: bytes, kind: type[AifeedbackError]) -> None:
    assert type(meaning(read_refusal(status, payload))) is kind
    if status == 200:
        with pytest.raises(kind):
            read_reply(payload, SENT)


def test_a_limit_on_spending_is_told_with_the_status_that_came() -> None:
    refusal = read_refusal(429, error("rate_limit_error", error_code="enforced_spend_limit_reached"))
    assert str(meaning(refusal)).startswith("the quota is used up (429: Words.)")


@pytest.mark.parametrize(
    ("status", "said", "becomes"),
    [
        (400, "prompt is too long: 215000 tokens > 200000 maximum", Status.TOO_LONG),
        (400, "input length and `max_tokens` exceed context limit: 199000 + 4096 > 200000", Status.TOO_LONG),
        (413, "Request exceeds the maximum size", Status.TOO_LONG),
        (400, "Output blocked by content filtering policy", Status.REFUSED),
        (400, "max_tokens: 99999 > 64000, which is the maximum allowed number of output tokens", Status.FAILED),
    ],
)
def test_a_request_that_is_refused_gives_its_pair_a_status(status: int, said: str, becomes: Status) -> None:
    refusal = meaning(read_refusal(status, error("invalid_request_error", said), 3))
    assert isinstance(refusal, GiveUp)
    assert refusal.status is becomes


def event(kind: str, **fields: object) -> bytes:
    return f"event: {kind}\n".encode() + b"data: " + orjson.dumps({"type": kind, **fields}) + b"\n\n"


def delta(kind: str, **piece: str) -> bytes:
    return event("content_block_delta", index=0, delta={"type": kind, **piece})


START = event("message_start", message={"model": "claude-m-1", "content": [], "stop_reason": None, "usage": {"input_tokens": 7, "output_tokens": 1}})  # fmt: skip
TOOL = event("content_block_start", index=0, content_block=CALLED | {"input": {}})
PIECES = delta("input_json_delta", partial_json='{"analysis": "x", ') + delta("input_json_delta", partial_json='"verdict": "B"}')  # fmt: skip
ENDS = event("message_delta", delta={"stop_reason": "tool_use"}, usage={"output_tokens": 5})
STOPS = event("message_stop")


def test_the_pieces_of_a_stream_that_nobody_asked_for_are_one_reply() -> None:
    reply = read_reply(START + event("ping") + TOOL + PIECES + ENDS + STOPS, SENT)
    assert (reply.content, reply.finish_reason) == ('{"analysis":"x","verdict":"B"}', "tool_use")
    assert reply.usage == Usage(7, 0, 5)
    said = event("content_block_start", index=0, content_block=text("")) + delta("text_delta", text="It is A.")
    assert read_reply(START + said + ENDS + STOPS, SENT).content == "It is A."


@pytest.mark.parametrize(
    ("stream", "kind"),
    [
        (START + TOOL + PIECES, Hiccup),
        (START + TOOL + PIECES + ENDS, Hiccup),
        (START + TOOL + PIECES + STOPS, Hiccup),
        (START + TOOL + PIECES[:40] + ENDS + STOPS, Hiccup),
        (START + TOOL + PIECES + event("error", error={"type": "overloaded_error", "message": "Overloaded"}), Busy),
        (b": ping\n\n", Hiccup),
    ],
    ids=["no end", "no stop", "no reason", "a broken event", "overloaded midway", "a comment"],
)
def test_a_stream_that_does_not_come_to_its_end_is_no_reply(stream: bytes, kind: type[AifeedbackError]) -> None:
    with pytest.raises(kind):
        read_reply(stream, SENT)


def test_an_input_that_is_no_json_is_no_verdict() -> None:
    reply = read_reply(START + TOOL + delta("input_json_delta", partial_json='{"verdict": "B"') + ENDS + STOPS, SENT)
    assert read_verdict(reply, JSON).p_first is None


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "text", "content", "input", "name", "thinking", "stop_reason", "stop_details", "usage", "error", "index", "delta"])
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)  # fmt: skip


@given(ANYTHING, st.sampled_from([200, 400, 429, 500]))
def test_whatever_comes_back_is_a_reply_or_one_of_our_errors(value: object, status: int) -> None:
    payload = json.dumps(value).encode("utf-8", "surrogatepass")
    assert isinstance(meaning(read_refusal(status, payload)), AifeedbackError)
    for sent in (payload, b"data: " + payload + b"\n\n" + STOPS):
        try:
            reply = read_reply(sent, SENT)
        except AifeedbackError:
            continue
        read_verdict(reply, JSON)


@given(st.lists(st.fixed_dictionaries({"type": st.sampled_from(["text", "thinking", "tool_use", "x"])}, optional={"text": ANYTHING, "thinking": ANYTHING, "input": ANYTHING, "name": st.just("verdict")})), st.sampled_from(["end_turn", "tool_use", "refusal"]))  # fmt: skip
def test_blocks_of_any_kind_are_read_or_left(blocks: list[dict[str, Any]], ending: str) -> None:
    payload = json.dumps({"content": blocks, "stop_reason": ending}).encode("utf-8", "surrogatepass")
    reading = read_verdict(read_reply(payload, SENT), JSON)
    assert reading.p_first is None or ending != "refusal"


@given(ANYTHING, st.text(max_size=40))
def test_any_words_give_a_step_or_none(value: object, message: str) -> None:
    changed = adapt(Features(), sent=frozenset(SENT), parameter=str(value)[:20], message=message)
    assert changed is None or changed != Features()
