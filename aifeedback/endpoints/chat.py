"""The chat completions API as bytes: a question becomes a request's body, a response's body a reply or an error."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from aifeedback.endpoints import streams
from aifeedback.endpoints.features import RUNGS, Features, rung_at
from aifeedback.endpoints.features import adapt as adapt
from aifeedback.endpoints.logprobs import tokens_of
from aifeedback.endpoints.payload import count_of, glimpse, json_object, part_of, text_of, tool_input
from aifeedback.errors import AifeedbackError, Busy, CriticGone, GiveUp, Hiccup
from aifeedback.jsontext import dumps
from aifeedback.prices import Most, most_input
from aifeedback.records import Message, Question, Reply, Status, Usage, VerdictFormat
from aifeedback.verdicts import can_be_soft


@dataclass(frozen=True, slots=True)
class ChatParameters:
    """What the user asks each request to carry."""

    model: str
    temperature: float
    max_tokens: int
    reasoning_effort: str
    extra_body: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error response, as far as it could be read."""

    status: int
    message: str
    code: str = ""
    parameter: str = ""
    retry_after_s: float = 0.0


def body(question: Question, parameters: ChatParameters, features: Features) -> dict[str, object]:
    """The request for `question`; what the user put into `extra_body` wins over what we would send."""
    messages = question.messages if "system" not in features.dropped else _without_system(question.messages)
    fields: dict[str, object] = {
        "model": parameters.model,
        "messages": [{"role": message.role, "content": message.content} for message in messages],
        "temperature": parameters.temperature,
        features.max_tokens_name: parameters.max_tokens * question.room,
    }
    if parameters.reasoning_effort:
        fields["reasoning_effort"] = parameters.reasoning_effort
    response_format = _response_format(question.format, rung_at(features, question.down))
    if response_format:
        fields["response_format"] = response_format
    # Whether they are read is decided later: a reply that was kept then serves every way of reading it.
    if features.top_logprobs and can_be_soft(question.format):
        fields["logprobs"] = True
        if parameters.extra_body.get("logprobs", True) is True:  # the one is an error without the other
            fields["top_logprobs"] = features.top_logprobs
    for each in features.dropped:
        name, _, value = each.partition("=")
        if not value or str(fields.get(name)) == value:
            fields.pop(name, None)
    return fields | dict(parameters.extra_body)


def _without_system(messages: Sequence[Message]) -> list[Message]:
    """The same, with what the system would say in front of what the user says first."""
    told = [message.content for message in messages if message.role == "system" and message.content]
    turns = [message for message in messages if message.role != "system"]
    if not told:
        return turns
    at = next((at for at, turn in enumerate(turns) if turn.role == "user"), None)
    if at is None:
        return [Message("user", "\n\n".join(told)), *turns]
    turns[at] = Message("user", "\n\n".join([*told, turns[at].content]))
    return turns


def most(question: Question, parameters: ChatParameters, features: Features) -> Most:
    """The most tokens that a request can be billed for: the bytes of its body, and its limit on the reply."""
    fields = body(question, parameters, features)
    size = most_input(len(dumps(fields)), len(question.messages))
    return Most(size, most_output(fields) or parameters.max_tokens * question.room)


def most_output(fields: Mapping[str, object]) -> int:
    """The most tokens that a reply to a request with these `fields` can have; 0 where nothing bounds it.

    Where it carries the limit under both names, who knows which one counts.
    """
    limits = [fields[name] for name in ("max_tokens", "max_completion_tokens") if name in fields]
    choices = fields.get("n", 1)
    counts = [count for count in (choices, *limits) if isinstance(count, int) and not isinstance(count, bool)]
    if not limits or len(counts) <= len(limits):
        return 0
    return max(1, counts[0]) * max(0, *counts[1:])


def _response_format(wanted: VerdictFormat, rung: str) -> dict[str, object] | None:
    if wanted.kind != "json" or rung == "text":
        return None
    if rung == "json_object":
        return {"type": "json_object"}
    return {"type": "json_schema", "json_schema": {"name": "verdict", "strict": True, "schema": verdict_schema(wanted)}}


def verdict_schema(wanted: VerdictFormat) -> dict[str, object]:
    """The JSON schema of the verdict that a template asks for."""
    # The reasoning field stands first, and also comes first where a server sorts the fields.
    return {
        "type": "object",
        "properties": {
            wanted.reasoning_field: {"type": "string"},
            wanted.answer_field: {"type": "string", "enum": list(wanted.answers)},
        },
        "required": [wanted.reasoning_field, wanted.answer_field],
        "additionalProperties": False,
    }


def rung_of(sent: Mapping[str, object]) -> str:
    """Which rung of the ladder a request stood on."""
    wanted = sent.get("response_format")
    kind = wanted.get("type") if isinstance(wanted, Mapping) else None
    return kind if kind in RUNGS else "text"


def further(question: Question, reply: Reply, parameters: ChatParameters, features: Features) -> Question | None:
    """The question one rung below the one on which `reply` came, whatever was learnt meanwhile; None where there is none."""
    came = RUNGS.index(reply.rung)
    lower = replace(question, down=max(0, came + 1 - features.rung))
    return lower if RUNGS.index(rung_of(body(lower, parameters, features))) > came else None


def read_reply(payload: bytes, sent: Mapping[str, object]) -> Reply:
    """The reply in the body of a 200 that came for `sent`. Raises Hiccup where it is none, or what an error object inside it means."""
    data = json_object(payload)
    if data is None:
        data = streams.completion(payload)
    if data is None:
        raise Hiccup(f"the endpoint's answer is no JSON object but {glimpse(payload)}")
    if data.get("error"):  # also beside choices: what stands there is then a piece of an answer
        raise meaning(read_refusal(200, dumps(data)))
    choices = data.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise Hiccup(f"the endpoint's answer has no choices but {glimpse(payload)}")
    message = choices[0].get("message")
    if not isinstance(message, dict):
        if message is not None or not isinstance(choices[0].get("text"), str):
            raise Hiccup("the endpoint's answer has a choice without a message")
        message = {"content": choices[0]["text"]}  # as the completions API has it
    if choices[0].get("finish_reason") == "error" or choices[0].get("error"):
        raise Hiccup(f"the endpoint broke off its answer: {text_of(choices[0].get('error'))[:200]}")
    content = text_of(message.get("content"))
    reasoning = text_of(message.get("reasoning_content")) or text_of(message.get("reasoning"))
    if not content.strip() and not reasoning.strip():
        reasoning = tool_input(message)
    return Reply(
        content=content,
        reasoning=reasoning,
        refusal=text_of(message.get("refusal")),
        # Gemini says more after a colon: "content_filter: PROHIBITED_CONTENT"
        finish_reason=text_of(choices[0].get("finish_reason")).partition(":")[0],
        model=text_of(data.get("model")),
        fingerprint=text_of(data.get("system_fingerprint")),
        rung=rung_of(sent),
        usage=_usage(data.get("usage")),
        tokens=tokens_of(data, choices[0], content if content.strip() else reasoning),
    )


def read_refusal(status: int, payload: bytes, retry_after_s: float = 0.0) -> Refusal:
    """What an error response says, in the shapes that servers give it: OpenAI's, FastAPI's, plain text or HTML."""
    data = json_object(payload)
    if data is None:
        return Refusal(status, glimpse(payload), retry_after_s=retry_after_s)
    error = data.get("error", data)
    if not isinstance(error, dict):
        return Refusal(status, text_of(error)[:500] or glimpse(payload), retry_after_s=retry_after_s)
    code, kind = text_of(error.get("code")), text_of(error.get("type"))
    inner = int(code) if code.isascii() and code.isdigit() and len(code) == 3 else 0
    parameter = text_of(error.get("param"))
    return Refusal(
        inner if status == 200 and inner >= 400 else status,
        (_said(error) or glimpse(payload))[:1000],
        f"{code} {kind}".strip(),
        parameter,
        retry_after_s,
    )


def _said(error: Mapping[str, object]) -> str:
    """What an error object says in words: FastAPI lists what it dislikes, OpenRouter keeps the server's own words aside."""
    detail = error.get("detail")
    if isinstance(detail, list):
        faults = [fault for fault in detail if isinstance(fault, dict)]
        listed = "; ".join(f"{_path(fault.get('loc'))}: {text_of(fault.get('msg'))}" for fault in faults)
    else:
        listed = text_of(detail)
    metadata = error.get("metadata")
    raw = text_of(metadata.get("raw")) if isinstance(metadata, dict) else ""
    return " ".join(filter(None, (text_of(error.get("message")) or listed, raw)))


def _path(loc: object) -> str:
    return ".".join(map(str, loc)) if isinstance(loc, list) else text_of(loc)


_DEAREST_USD = 1e6
_QUOTA = re.compile(
    r"insufficient_quota|insufficient (credit|balance|funds)|billing_hard_limit|exceeded your current quota|payment required|credit balance",
    re.IGNORECASE,
)
_CONTEXT = re.compile(
    r"context_length|context length|context window|context size|context limit|maximum context|maximum model length|max_model_len"
    r"|too many (input )?tokens|input tokens exceed|token count.{0,40}exceeds|tokens \+ .?max_new_tokens"
    r"|(prompt|input|request|message)s? (is |are |was )?too (long|large)|string_above_max_length"
    r"|exceeds? the (available )?context|reduce the length",
    re.IGNORECASE,
)
_FILTER = re.compile(
    r"content[_ ]filter|content management policy|content_policy|safety|moderation|flagged|responsible ?ai",
    re.IGNORECASE,
)
_TLS_WANTED = re.compile(r"http request.{0,20} to (an? )?https", re.IGNORECASE)
_SOON = re.compile(r"(?:retry|try again) (?:in|after) (\d+(?:\.\d+)?) ?(ms|s\b|sec)", re.IGNORECASE)
_TOO_BIG = re.compile(r"request too large", re.IGNORECASE)
_UNKNOWN_KEY = "no_db_connection"
"""LiteLLM's word for any key but its own, where it has no database."""
_NO_MODEL = re.compile(
    r"model_not_found|model.{0,80}(not found|does not exist|doesn't exist|not exist)|(no such|unknown|invalid)[ _]model\b"
    r"|not a valid model|DeploymentNotFound|server is pinned to",
    re.IGNORECASE | re.DOTALL,
)


def meaning(refusal: Refusal) -> AifeedbackError:
    """What to do about an error response, as the exception that says so."""
    status, text = refusal.status, f"{refusal.code} {refusal.message}"
    if status == 407:
        return CriticGone("the proxy refuses its credentials (407). Set the proxy's variable anew.")
    said = f"{status}: {' '.join(refusal.message.split())[:300]}"
    if status == 400 and _TLS_WANTED.search(text):
        return CriticGone(f"the endpoint speaks TLS ({said}). Name it with https:// in --base-url.")
    if (status in {400, 413, 429} and _TOO_BIG.search(text)) or (status in {200, 500} and _CONTEXT.search(text)):
        # A single request above the limit a minute is never let through; some servers call a full context a 500.
        return GiveUp(f"too long for the critic ({said})", status=Status.TOO_LONG)
    soon = _SOON.search(text) if status == 429 and "insufficient_quota" not in text else None
    if soon:
        # Gemini words the limit of a minute as it does that of a month; only the first is over soon.
        asked_for = float(soon[1]) / (1000 if soon[2].lower() == "ms" else 1)
        return Busy(said, retry_after_s=refusal.retry_after_s or asked_for)
    if status == 402 or _QUOTA.search(text):
        return CriticGone(
            f"the quota is used up ({said}). Top it up and run the same command again: what was answered is kept."
        )
    if status == 401 or (status == 403 and not _FILTER.search(text)) or _UNKNOWN_KEY in refusal.code:
        return CriticGone(f"the endpoint refuses the credentials ({said}).")
    if status in {404, 405, 410} or (status in {400, 422} and _NO_MODEL.search(text)):
        return CriticGone(f"the endpoint knows no such model or address ({said}). Check --critic and --base-url.")
    if status in {429, 529} or "overloaded" in refusal.code:
        return Busy(said, retry_after_s=refusal.retry_after_s)
    if status >= 500 or status < 400 or status in {408, 409, 425}:
        return Hiccup(said, retry_after_s=refusal.retry_after_s)
    if status == 413 or _CONTEXT.search(text):
        return GiveUp(f"too long for the critic ({said})", status=Status.TOO_LONG)
    if _FILTER.search(text):
        return GiveUp(f"filtered by the endpoint ({said})", status=Status.REFUSED)
    return GiveUp(f"the endpoint refuses this request ({said})", status=Status.FAILED)


def _usage(value: object) -> Usage:
    """What a reply says that it took; nothing at all where it names only one side, which would look cheap."""
    if not isinstance(value, dict):
        return Usage()
    inputs, outputs = part_of(value, "prompt_tokens_details"), part_of(value, "completion_tokens_details")
    cost, read, spoken = _cost(value), count_of(value.get("prompt_tokens")), count_of(value.get("completion_tokens"))
    reasoning = count_of(outputs.get("reasoning_tokens"))
    # Some servers (Gemini, xAI) leave the thinking out of the completion, but not out of the total and the bill.
    unnamed = count_of(value.get("total_tokens")) - read - spoken
    output = spoken + max(0, unnamed, reasoning if reasoning > spoken else 0)
    if not read or (not output and "completion_tokens" not in value):
        return Usage(cost_usd=cost)
    return Usage(
        input=read,
        cached=count_of(inputs.get("cached_tokens")),
        output=output,
        reasoning=reasoning,
        written=count_of(inputs.get("cache_write_tokens")),
        cost_usd=cost,
    )


def _cost(usage: Mapping[str, object]) -> float | None:
    """What the server says that the request cost, in USD: OpenRouter a number, Perplexity a sum with its parts."""
    cost = usage.get("cost")
    if isinstance(cost, dict):
        cost = cost.get("total_cost")
    if isinstance(cost, bool) or not isinstance(cost, int | float) or not 0 <= cost < _DEAREST_USD:
        return None
    # Who brings a key of their own to OpenRouter pays what stands upstream, and the fee.
    upstream = part_of(usage, "cost_details").get("upstream_inference_cost") if usage.get("is_byok") else None
    return cost + (upstream if isinstance(upstream, int | float) and 0 <= upstream < _DEAREST_USD else 0.0)
