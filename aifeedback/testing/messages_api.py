"""Anthropic's Messages API at the test server, as its documentation has it: what it refuses, what it answers, how it words both."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from hashlib import sha256

import orjson

from aifeedback.testing.answers import Answer
from aifeedback.testing.asked import Asked, Object, read_body, text_in
from aifeedback.testing.faults import Fault
from aifeedback.testing.refusals import Refusal, refusal

_FIELDS = frozenset(
    [
        "model",
        "messages",
        "max_tokens",
        "system",
        "temperature",
        "tools",
        "tool_choice",
        "thinking",
        "output_config",
        "cache_control",
        "container",
        "context_management",
        "inference_geo",
        "mcp_servers",
        "metadata",
        "service_tier",
        "stop_sequences",
        "stream",
        "top_k",
        "top_p",
    ]
)
_LEAST_BUDGET = 1024


def read_request(raw: bytes, headers: Mapping[str, str]) -> Asked:
    """A request's body. Raises ValueError, with a message for the client, where the API would refuse it."""
    if "anthropic-version" not in headers:
        raise ValueError("anthropic-version: header is required")
    body = read_body(raw)
    for name in body:
        if name not in _FIELDS:
            raise ValueError(f"{name}: Extra inputs are not permitted")
    for name in ("model", "max_tokens", "messages"):
        if name not in body:
            raise ValueError(f"{name}: Field required")
    _check_sampling(body)
    _check_thinking(body)
    messages = body["messages"]
    if not isinstance(messages, list) or not messages or not all(isinstance(turn, dict) for turn in messages):
        raise ValueError("messages: at least one message is required")
    for number, turn in enumerate(messages):
        if turn.get("role") not in {"user", "assistant"}:
            raise ValueError(f"messages.{number}: Input should be 'user' or 'assistant'")
    system = body.get("system") or []
    blocks = [{"type": "text", "text": system}] if isinstance(system, str) else system
    if not isinstance(blocks, list) or not all(isinstance(block, dict) and block.get("text") for block in blocks):
        raise ValueError("system: text content blocks must be non-empty")
    texts = [*(("system", text_in([block])) for block in blocks)]
    texts += [(str(turn["role"]), text_in(turn.get("content"))) for turn in messages]
    return Asked(body, sha256(orjson.dumps([blocks, messages])).hexdigest()[:16], tuple(texts))


def _check_sampling(body: Object) -> None:
    tokens, temperature = body["max_tokens"], body.get("temperature", 1)
    if isinstance(tokens, bool) or not isinstance(tokens, int) or tokens < 1:
        raise ValueError("max_tokens: Input should be greater than or equal to 1")
    if not isinstance(temperature, int | float) or not 0 <= temperature <= 1:
        raise ValueError("temperature: range: 0..1")
    if body.get("stream"):
        raise ValueError("This server does not stream. Leave 'stream' out.")


def _check_thinking(body: Object) -> None:
    thinking = body.get("thinking")
    kind = thinking.get("type") if isinstance(thinking, dict) else None
    if kind == "enabled":
        assert isinstance(thinking, dict)
        budget, tokens = thinking.get("budget_tokens", 0), body["max_tokens"]
        if budget < _LEAST_BUDGET:
            raise ValueError("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
        if budget >= tokens:
            raise ValueError("`max_tokens` must be greater than `thinking.budget_tokens`.")
    if kind in {"enabled", "adaptive"}:
        if _forced(body):
            raise ValueError("Thinking may not be enabled when tool_choice forces tool use.")
        if body.get("temperature", 1) != 1:
            raise ValueError("`temperature` may only be set to 1 when thinking is enabled or in adaptive mode.")


def _forced(body: Object) -> bool:
    choice = body.get("tool_choice")
    return isinstance(choice, dict) and choice.get("type") in {"tool", "any"}


def message(asked: Asked, answer: Answer, prefixes: set[str]) -> dict[str, object]:
    """The response that holds an answer. `prefixes` are the marks of what the cache holds; one that is new is added."""
    thought, content = _thought(asked, answer), _spoken(answer)
    blocks: list[dict[str, object]] = []
    if thought:
        blocks.append({"type": "thinking", "thinking": thought, "signature": "c2lnbmF0dXJl"})
    used = _tool_use(asked, answer, content)
    if used is not None:
        blocks += [] if _forced(asked.body) else [{"type": "text", "text": "I record my verdict."}]
        blocks.append(used)
    elif content:
        blocks.append({"type": "text", "text": content})
    ending = _ENDINGS.get(answer.finish_reason, "end_turn" if used is None else "tool_use")
    said: dict[str, object] = {}
    if answer.refusal:
        blocks, ending = [], "refusal"
        said = {"stop_details": {"type": "refusal", "category": None, "explanation": answer.refusal}}
    return {
        "id": f"msg_{asked.question}",
        "type": "message",
        "role": "assistant",
        "model": asked.body.get("model", ""),
        "content": blocks,
        "stop_reason": ending,
        "stop_sequence": None,
        **said,
        "usage": _usage(asked, prefixes, thinking=len(thought), written=len(content) + len(thought)),
    }


_ENDINGS = {"length": "max_tokens", "content_filter": "refusal"}
_THINK = re.compile(r"<think>\n(.*?)\n</think>\n\n", re.DOTALL)


def _thought(asked: Asked, answer: Answer) -> str:
    tagged = _THINK.match(answer.content or "")
    if tagged or answer.reasoning_content:
        return tagged[1] if tagged else answer.reasoning_content or ""
    thinking = asked.body.get("thinking")
    thinks = isinstance(thinking, dict) and thinking.get("type") in {"enabled", "adaptive"}
    return "I compare the two." if thinks else ""


def _spoken(answer: Answer) -> str:
    return _THINK.sub("", answer.content or "", count=1)


def _tool_use(asked: Asked, answer: Answer, content: str) -> dict[str, object] | None:
    """The block that uses the tool which was offered; where the answer is cut off, with a part of its input."""
    tools = asked.body.get("tools")
    if not isinstance(tools, list) or not tools or not content.startswith("{"):
        return None
    try:
        given = orjson.loads(content)
    except orjson.JSONDecodeError:
        given = dict.fromkeys(list(asked.schema or {})[:1], content) if answer.finish_reason == "length" else None
    if given is None:
        return None
    return {"type": "tool_use", "id": f"toolu_{asked.question}", "name": tools[0].get("name", ""), "input": given}


def _usage(asked: Asked, prefixes: set[str], *, thinking: int, written: int) -> dict[str, object]:
    """Four characters a token. Unlike the real one, this cache keeps a prefix of any length."""
    parts = list(_parts(asked.body))
    marked = [number for number, (_, mark) in enumerate(parts, 1) if mark]
    kept = "".join(text for text, _ in parts[: marked[-1]]) if marked else ""
    fresh = sum(len(text) for text, _ in parts) - len(kept)
    mark = sha256(kept.encode("utf-8", "surrogatepass")).hexdigest()
    known = mark in prefixes
    if kept:
        prefixes.add(mark)
    usage: dict[str, object] = {
        "input_tokens": fresh // 4,
        "cache_creation_input_tokens": 0 if known else len(kept) // 4,
        "cache_read_input_tokens": len(kept) // 4 if known else 0,
        "output_tokens": written // 4,
        "service_tier": "standard",
    }
    return usage | ({"output_tokens_details": {"thinking_tokens": thinking // 4}} if thinking else {})


def _parts(body: Object) -> Iterator[tuple[str, bool]]:
    """What the model reads, in the order of the cache: tools, system, messages; and whether a mark stands behind it."""
    tools, system, messages = body.get("tools"), body.get("system"), body["messages"]
    for tool in tools if isinstance(tools, list) else []:
        yield orjson.dumps(tool).decode(), "cache_control" in tool
    blocks = [*system] if isinstance(system, list) else [{"text": system or ""}]
    assert isinstance(messages, list)
    for turn in messages:
        content = turn.get("content")
        blocks += content if isinstance(content, list) else [{"text": content}]
    for block in blocks:
        yield text_in([block]), "cache_control" in block


def tokens_of(usage: Mapping[str, int]) -> tuple[int, int]:
    """What went in and what came out, as billed."""
    names = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    return sum(usage[name] for name in names), usage["output_tokens"]


def events(whole: Mapping[str, object]) -> Iterator[bytes]:
    """A message as the events of a stream."""
    blocks = whole["content"]
    assert isinstance(blocks, list)
    yield _event("message_start", message={**whole, "content": [], "stop_reason": None})
    yield _event("ping")
    for index, block in enumerate(blocks):
        field = {"text": "text", "thinking": "thinking"}.get(block["type"], "input")
        text = block[field] if field != "input" else orjson.dumps(block["input"]).decode()
        kind, name = {"text": ("text_delta", "text"), "thinking": ("thinking_delta", "thinking")}.get(
            field, ("input_json_delta", "partial_json")
        )
        yield _event("content_block_start", index=index, content_block={**block, field: {} if field == "input" else ""})
        for at in range(0, len(text), 8):
            yield _event("content_block_delta", index=index, delta={"type": kind, name: text[at : at + 8]})
        yield _event("content_block_stop", index=index)
    delta = {name: whole.get(name) for name in ("stop_reason", "stop_sequence", "stop_details")}
    yield _event("message_delta", delta=delta, usage=whole["usage"])
    yield _event("message_stop")


def _event(kind: str, **fields: object) -> bytes:
    return f"event: {kind}\n".encode() + b"data: " + orjson.dumps({"type": kind, **fields}) + b"\n\n"


def error(status: int, kind: str, text: str, headers: Mapping[str, str] | None = None) -> Refusal:
    """An error as Anthropic words it."""
    about = {"type": "error", "error": {"type": kind, "message": text}, "request_id": "req_testing"}
    return Refusal(status, orjson.dumps(about), headers=headers or {})


_TYPES = {400: "invalid_request_error", 404: "not_found_error", 429: "rate_limit_error"}


def reworded(refused: Refusal) -> Refusal:
    """An error of the chat API in these words."""
    about = orjson.loads(refused.body)["error"]
    headers = announced(refused.headers)
    return replace(error(refused.status, _TYPES[refused.status], about["message"]), headers=headers)


def announced(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers on limits under Anthropic's names: when a limit is whole again is a time there."""
    named: dict[str, str] = {}
    for name, value in headers.items():
        told = re.fullmatch(r"x-ratelimit-(limit|remaining|reset)-requests", name)
        if told is None:
            named |= {} if name == "retry-after-ms" else {name: value}
        elif told[1] == "reset":
            at = time.gmtime(time.time() + float(value.removesuffix("ms")) / 1000 + 1)
            named["anthropic-ratelimit-requests-reset"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", at)
        else:
            named[f"anthropic-ratelimit-requests-{told[1]}"] = value
    return named


def refused_by(fault: Fault, body: Object) -> Refusal | None:
    """What the fault answers to this request body; None where it has nothing to refuse, or shapes an answer instead."""
    if fault.kind in _PLAIN:
        return _PLAIN[fault.kind]
    if fault.kind in _PICKY:
        said = _PICKY[fault.kind](fault, body)
        return error(400, "invalid_request_error", said) if said else None
    found = refusal(fault, body)
    return reworded(found) if fault.kind == "429" and found is not None else found


def _thinking_of(body: Object) -> object:
    thinking = body.get("thinking")
    return thinking.get("type") if isinstance(thinking, dict) else None


_PLAIN = {
    "500": error(500, "api_error", "Internal server error"),
    "529": error(529, "overloaded_error", "Overloaded"),
    "401": error(401, "authentication_error", "invalid x-api-key"),
    "403": error(403, "permission_error", "Your API key does not have permission to use the specified resource."),
    "404-model": error(404, "not_found_error", "model: there-is-none"),
    "quota": error(400, "invalid_request_error", "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits."),
    "400": error(400, "invalid_request_error", "Bad request."),
    "400-context": error(400, "invalid_request_error", "prompt is too long: 215000 tokens > 200000 maximum"),
    "400-filter": error(400, "invalid_request_error", "Output blocked by content filtering policy"),
    "error200": error(200, "overloaded_error", "Overloaded"),
}  # fmt: skip

_PICKY: dict[str, Callable[[Fault, Object], str]] = {
    "400-schema": lambda _fault, body: "Thinking may not be enabled when tool_choice forces tool use." if _forced(body) else "",
    "400-format": lambda _fault, body: "tools: Extra inputs are not permitted" if "tools" in body else "",
    "400-param": lambda fault, body: f"{fault.value}: Extra inputs are not permitted" if fault.value in body else "",
    "400-max-tokens": lambda _fault, _body: "",  # it must be there
    "400-temperature": lambda _fault, body: "`temperature` is deprecated for this model." if body.get("temperature", 1) != 1 else "",
    "400-adaptive": lambda _fault, body: "adaptive thinking is not supported on this model" if _thinking_of(body) == "adaptive" else "",
    "400-budget": lambda _fault, body: '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and "output_config.effort" to control thinking behavior.' if _thinking_of(body) == "enabled" else "",
}  # fmt: skip
