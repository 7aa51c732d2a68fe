"""Anthropic's Messages API as bytes: a question becomes a request's body, a response's body a reply or an error.

Written from https://platform.claude.com/docs/en/api/messages. A JSON verdict is asked for as the input of a tool that the
model must use. It can't be made to where it thinks: then it may, and what it writes instead is read like any text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from aifeedback.endpoints import chat, streams
from aifeedback.endpoints.chat import ChatParameters, Refusal, verdict_schema
from aifeedback.endpoints.features import RUNGS, Features, left_out
from aifeedback.endpoints.payload import count_of, glimpse, json_object, part_of, text_of
from aifeedback.errors import AifeedbackError, GiveUp, Hiccup
from aifeedback.jsontext import dumps
from aifeedback.prices import Most, most_input
from aifeedback.records import (
    BROKEN_ENDINGS,
    CUT_OFF_ENDINGS,
    FILTERED_ENDINGS,
    Message,
    Question,
    Reply,
    Status,
    Usage,
    VerdictFormat,
)

_TOOL = "verdict"
_WHOLE = frozenset({"end_turn", "stop_sequence", "tool_use"})
_ENDINGS = _WHOLE | {"refusal"} | CUT_OFF_ENDINGS | FILTERED_ENDINGS | BROKEN_ENDINGS
"""Why an answer may end, as far as anybody knows; only the first are those of a whole one."""
_STEPS = ("must", "may", "text")
"""Whether the model must use the tool, may use it, or has none."""
_TOOL_PROMPT = 1024
"""More tokens than the instructions that the API adds, and bills, where a request has tools."""
_CACHED = {"cache_control": {"type": "ephemeral"}}
_EFFORTS = {"minimal": "low"}
"""What other makers call an effort, as it is called here."""
_THINKING_TOKENS = {"minimal": 1024, "low": 2048, "medium": 4096, "high": 8192, "xhigh": 16384, "max": 24576}
"""The room for thinking beside that for the reply: at least 1024 is asked for, and most models write 32,000 in all."""
_THINKING_FORMS = ("thinking.adaptive", "thinking.enabled")
"""What newer models know, and what older ones do; no model is known to take neither until it said so."""


def body(question: Question, parameters: ChatParameters, features: Features) -> dict[str, object]:
    """The request for `question`; what the user put into `extra_body` wins over what we would send."""
    fields = _thinking(parameters.reasoning_effort, features)
    # Parameters that thinking forbids depend on what is sent in the end.
    thinking = parameters.extra_body.get("thinking", fields.get("thinking"))
    kind = thinking.get("type") if isinstance(thinking, Mapping) else None
    thinks = kind in {"adaptive", "enabled"}
    room = parameters.max_tokens + (_thinking_tokens(thinking, parameters.reasoning_effort) if thinks else 0)
    caches = "cache_control" not in features.dropped
    fields |= {"model": parameters.model, "max_tokens": room * question.room}
    fields |= _dialogue(question.messages, question.fixed if caches else 0)
    if not thinks and not left_out(features, "temperature", parameters.temperature):
        fields["temperature"] = parameters.temperature
    step = _STEPS[min(max(features.rung, int(thinks)) + question.down, len(_STEPS) - 1)]
    fields |= _verdict_tool(question.format, step)
    return fields | dict(parameters.extra_body)


def _dialogue(messages: Sequence[Message], fixed: int) -> dict[str, object]:
    """The messages, with the mark up to which a cache may keep them behind the last of the `fixed` first ones."""
    system: list[dict[str, object]] = []
    turns: list[dict[str, object]] = []
    for number, message in enumerate(messages, 1):
        mark = _CACHED if number == fixed else {}
        block: dict[str, object] = {"type": "text", "text": message.content, **mark}
        if message.role == "system":
            # An empty text is refused.
            system += [block] if message.content else []
        else:
            turns.append({"role": message.role, "content": [block] if mark else message.content})
    return {"system": system, "messages": turns} if system else {"messages": turns}


def _verdict_tool(wanted: VerdictFormat, step: str) -> dict[str, object]:
    if wanted.kind != "json" or step == "text":
        return {}
    choice: dict[str, object] = {"type": "tool", "name": _TOOL} if step == "must" else {"type": "auto"}
    tool = {
        "name": _TOOL,
        "description": "Records your verdict. Use it once, instead of writing the JSON object.",
        "input_schema": verdict_schema(wanted),
    }
    return {"tools": [tool], "tool_choice": {**choice, "disable_parallel_tool_use": True}}


def _thinking(effort: str, features: Features) -> dict[str, object]:
    """The fields that ask for as much thinking, in the newest form that was not refused."""
    if not effort or effort == "none":
        disabled = {"thinking": {"type": "disabled"}} if effort and "thinking.disabled" not in features.dropped else {}
        return {**disabled}
    form = next((form for form in _THINKING_FORMS if form not in features.dropped), "")
    if form == "thinking.enabled":
        return {"thinking": {"type": "enabled", "budget_tokens": _THINKING_TOKENS.get(effort, 8192)}}
    if not form:
        return {}
    # Newer models leave the text of their thinking out unless it is asked for.
    display = {} if "thinking.display" in features.dropped else {"display": "summarized"}
    wanted = {"effort": _EFFORTS.get(effort, effort)}
    config = {} if left_out(features, "output_config", wanted) else {"output_config": wanted}
    return {"thinking": {"type": "adaptive", **display}, **config}


def _thinking_tokens(thinking: object, effort: str) -> int:
    budget = count_of(thinking.get("budget_tokens")) if isinstance(thinking, Mapping) else 0
    return budget or _THINKING_TOKENS.get(effort, 8192)


def most(question: Question, parameters: ChatParameters, features: Features) -> Most:
    """The most tokens that a request can be billed for: the bytes of its body and what tools add, and its `max_tokens`."""
    fields = body(question, parameters, features)
    size = most_input(len(dumps(fields)), len(question.messages)) + (_TOOL_PROMPT if "tools" in fields else 0)
    return Most(size, most_output(fields) or parameters.max_tokens * question.room)


def most_output(fields: Mapping[str, object]) -> int:
    """The most tokens that a reply to a request with these `fields` can have, thinking included; 0 where nothing bounds it."""
    return count_of(fields.get("max_tokens"))


def adapt(features: Features, *, sent: frozenset[str], parameter: str, message: str) -> Features | None:
    """What to try after a 400 that is about something we sent; None where it names nothing that we can do without.

    The API says in words alone what it dislikes, and may name two: "Thinking may not be enabled when tool_choice forces
    tool use", "`temperature` may only be set to 1 when thinking is enabled". The one that we can change comes first.
    """
    text = f"{parameter} {message}".lower()
    step = _step(features.rung, sent, text)
    if step is not None:
        return replace(features, rung=step)
    named = next((name for name in _refused(sent, text) if name not in features.dropped), "")
    return replace(features, dropped=(*features.dropped, named)) if named else None


def _step(rung: int, sent: frozenset[str], text: str) -> int | None:
    """The step that a refusal leads to, where it is about the tool or about having to use it."""
    last = len(_STEPS) - 1
    if "tool_choice" in sent and rung < last and re.search(r"tool[_ ]choice|forces? tool use", text):
        return rung + 1
    return last if "tools" in sent and rung < last and re.search(r"\btools?\b|input_schema", text) else None


def _refused(sent: frozenset[str], text: str) -> Iterator[str]:
    """The parameters that a refusal may be about, the likeliest first."""
    if "cache_control" in text:
        yield "cache_control"
    if "temperature" in sent and "temperature" in text:
        yield "temperature"
    # The way out that it offers ("Use "thinking.type.adaptive" and "output_config.effort" …") is none of what it refuses.
    refused = text.partition('use "')[0]
    if "thinking" in sent:
        if "display" in refused:
            yield "thinking.display"
        if "output_config" in sent and re.search(r"effort|output_config", refused):
            yield "output_config"
        if re.search(r"thinking|adaptive|budget", refused):
            yield from (*_THINKING_FORMS, "thinking.disabled")


def further(question: Question, reply: Reply, parameters: ChatParameters, features: Features) -> Question | None:
    """The question one step below the one on which `reply` came, whatever was learnt meanwhile; None where there is none."""
    came = RUNGS.index(reply.rung)
    lower = replace(question, down=max(0, came + 1 - features.rung))
    return lower if RUNGS.index(_rung_of(body(lower, parameters, features))) > came else None


def read_reply(payload: bytes, sent: Mapping[str, object]) -> Reply:
    """The reply in the body of a 200 that came for `sent`. Raises Hiccup where it is none, or what an error object inside it means."""
    data = json_object(payload)
    if data is None:
        data = streams.message(payload)
    if data is None:
        raise Hiccup(f"the endpoint's answer is no JSON object but {glimpse(payload)}")
    if data.get("error") or data.get("type") == "error":
        raise meaning(read_refusal(200, dumps(data)))
    blocks = data.get("content")
    if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks):
        raise Hiccup(f"the endpoint's answer has no content blocks but {glimpse(payload)}")
    ending = text_of(data.get("stop_reason"))
    if not ending:
        raise Hiccup("the endpoint's answer does not say why it ends")
    if ending not in _ENDINGS:  # nobody knows whether it is whole
        raise GiveUp(
            f"the endpoint's answer ends for a reason that is not known: {ending[:80]!r}", status=Status.FAILED
        )
    text = "".join(text_of(block.get("text")) for block in blocks if block.get("type") == "text")
    thought = [text_of(block.get("thinking")) for block in blocks if block.get("type") == "thinking"]
    inputs = [block.get("input") for block in blocks if block.get("type") == "tool_use" and block.get("name") == _TOOL]
    if inputs:  # what was said on the way to the tool is no part of the verdict
        thought.append(text)
        text = "\n".join(text_of(value) for value in inputs)
    refusal = ""
    if ending == "refusal":  # what stands there is a piece of an answer
        refusal = text_of(part_of(data, "stop_details").get("explanation")) or text or "The model declines to answer."
        text = ""
    return Reply(
        content=text,
        reasoning="\n\n".join(filter(str.strip, thought)),
        refusal=refusal,
        finish_reason=ending,
        model=text_of(data.get("model")),
        rung=_rung_of(sent),
        usage=_usage(data.get("usage")),
    )


def _rung_of(sent: Mapping[str, object]) -> str:
    """Which rung of the ladder a request stood on: those of the chat API stand for our steps."""
    if part_of(sent, "tool_choice").get("name") == _TOOL:
        return RUNGS[_STEPS.index("must")]
    tools = sent.get("tools")
    ours = isinstance(tools, list) and any(isinstance(tool, dict) and tool.get("name") == _TOOL for tool in tools)
    return RUNGS[_STEPS.index("may" if ours else "text")]


def _usage(value: object) -> Usage:
    """What a reply says that it took; tokens that a cache gave or kept are counted apart there, and with the input here."""
    if not isinstance(value, dict):
        return Usage()
    cached, written = count_of(value.get("cache_read_input_tokens")), count_of(value.get("cache_creation_input_tokens"))
    read = count_of(value.get("input_tokens")) + cached + written
    if not read or "output_tokens" not in value:
        return Usage()
    output = count_of(value.get("output_tokens"))
    reasoning = min(output, count_of(part_of(value, "output_tokens_details").get("thinking_tokens")))
    return Usage(input=read, cached=cached, output=output, reasoning=reasoning, written=written)


_STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
_SPENT = re.compile(r"spend_limit_reached|billing_error|specified (api )?usage limit|spend(ing)? limit", re.IGNORECASE)


def read_refusal(status: int, payload: bytes, retry_after_s: float = 0.0) -> Refusal:
    """What an error response says: Anthropic's `{"type": "error", "error": {…}}`, or what a gateway sends in its place."""
    refusal = chat.read_refusal(status, payload, retry_after_s)
    error = part_of(json_object(payload) or {}, "error")
    more = text_of(part_of(error, "details").get("error_code"))
    # Inside a 200, as where a stream meets it, the type is all there is.
    meant = _STATUSES.get(text_of(error.get("type")), refusal.status) if refusal.status == 200 else refusal.status
    return replace(refusal, status=meant, code=f"{refusal.code} {more}".strip())


def meaning(refusal: Refusal) -> AifeedbackError:
    """What to do about an error response, as the exception that says so."""
    # A limit on spending is a 400 or a 429, and holds for the rest of the month.
    spent = refusal.status in {400, 429} and _SPENT.search(f"{refusal.code} {refusal.message}")
    return chat.meaning(replace(refusal, code=f"insufficient_quota {refusal.code}") if spent else refusal)
