"""What stands in for an answer when a fault strikes: errors as endpoints word them, pages, broken bodies."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus

import orjson

from aifeedback.testing.faults import Fault

JSON = "application/json"
HTML = "text/html; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A whole HTTP response but for its standing headers."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


def refusal(fault: Fault, body: Mapping[str, object]) -> Refusal | None:
    """What the fault answers to this request body; None where it has nothing to refuse, or shapes an answer instead."""
    if fault.kind in _PLAIN:
        return _PLAIN[fault.kind]
    make = _MADE.get(fault.kind)
    return make(fault, body) if make else None


def error(
    status: int, message: str, *, kind: str = "invalid_request_error", code: str = "", param: str = ""
) -> Refusal:
    """An error as OpenAI words it."""
    about = {"message": message, "type": kind, "param": param or None, "code": code or None}
    return Refusal(status, orjson.dumps({"error": about}))


def rate_limited(message: str, headers: Mapping[str, str]) -> Refusal:
    """A 429 that asks for patience."""
    body = error(429, message, kind="requests", code="rate_limit_exceeded").body
    return Refusal(429, body, headers=headers)


def _page(status: int) -> Refusal:
    phrase = "Overloaded" if status == 529 else HTTPStatus(status).phrase
    page = f"<html><head><title>{status} {phrase}</title></head><body><h1>{phrase}</h1><hr>nginx</body></html>"
    return Refusal(status, page.encode(), HTML)


def _too_fast(fault: Fault, _body: Mapping[str, object]) -> Refusal:
    after = formatdate(time.time() + 1, usegmt=True) if fault.value == "date" else fault.value
    return rate_limited("Rate limit reached for requests.", {} if after == "none" else {"Retry-After": after})


def _redirected(fault: Fault, _body: Mapping[str, object]) -> Refusal:
    return Refusal(307, b"", headers={"Location": fault.value})


def _no_schema(_fault: Fault, body: Mapping[str, object]) -> Refusal | None:
    asked = body.get("response_format")
    if not isinstance(asked, dict) or asked.get("type") != "json_schema":
        return None
    message = "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model."
    return error(400, message, param="response_format")


def _too_large(fault: Fault, body: Mapping[str, object]) -> Refusal | None:
    for name in ("max_tokens", "max_completion_tokens"):
        asked = body.get(name)
        if isinstance(asked, int) and asked > fault.number:
            message = f"{name} is too large: {asked}. This model supports at most {fault.value} completion tokens, whereas you provided {asked}."
            return error(400, message, param=name, code="invalid_value")
    return None


def _no_object(_fault: Fault, body: Mapping[str, object]) -> Refusal | None:
    asked = body.get("response_format")
    if not isinstance(asked, dict) or asked.get("type") != "json_object":
        return None
    return error(400, "response_format: 'json_object' is not supported here.", param="response_format.type")


def _failed(_fault: Fault, body: Mapping[str, object]) -> Refusal | None:
    if body.get("response_format") is None:
        return None
    message = "Failed to generate JSON. Please adjust your prompt. See 'failed_generation' for more details."
    return error(400, message, code="json_validate_failed")


def _no_system(_fault: Fault, body: Mapping[str, object]) -> Refusal | None:
    turns = body.get("messages")
    told = isinstance(turns, list) and any(isinstance(turn, dict) and turn.get("role") == "system" for turn in turns)
    return error(400, "System role not supported", kind="BadRequestError") if told else None


def _no_parameter(name: str, body: Mapping[str, object]) -> Refusal | None:
    if body.get(name) is None:
        return None
    message = f"Unsupported parameter: '{name}' is not supported with this model."
    return error(400, message, param=name, code="unsupported_parameter")


def _no_max_tokens(_fault: Fault, body: Mapping[str, object]) -> Refusal | None:
    if "max_tokens" not in body:
        return None
    message = (
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    )
    return error(400, message, param="max_tokens", code="unsupported_parameter")


def _no_temperature(_fault: Fault, body: Mapping[str, object]) -> Refusal | None:
    asked = body.get("temperature")
    if asked is None or asked == 1:
        return None
    message = (
        f"Unsupported value: 'temperature' does not support {asked} with this model. "
        "Only the default (1) value is supported."
    )
    return error(400, message, param="temperature", code="unsupported_value")


def _not_allowed(_fault: Fault, body: Mapping[str, object]) -> Refusal | None:
    if not body.get("logprobs"):
        return None
    return error(403, "You are not allowed to request logprobs from this model")


def _fewer_logprobs(fault: Fault, body: Mapping[str, object]) -> Refusal | None:
    asked, most = body.get("top_logprobs"), int(fault.number)
    if not isinstance(asked, int) or asked <= most:
        return None
    message = f"Invalid value for 'top_logprobs': must be less than or equal to {most}."
    return error(400, message, param="top_logprobs", code="invalid_value")


_PLAIN = {
    "500": _page(500),
    "502": _page(502),
    "503": _page(503),
    "529": _page(529),
    "401": error(401, "Incorrect API key provided.", code="invalid_api_key"),
    "403": error(403, "You are not allowed to use this model.", kind="permission_error"),
    "404-model": error(404, "The model does not exist or you do not have access to it.", code="model_not_found"),
    "quota": error(
        429,
        "You exceeded your current quota, please check your plan and billing details.",
        kind="insufficient_quota",
        code="insufficient_quota",
    ),
    "400": error(400, "Bad request."),
    "400-context": error(
        400,
        "This model's maximum context length is 8192 tokens. However, your messages resulted in 9999 tokens. "
        "Please reduce the length of the messages.",
        param="messages",
        code="context_length_exceeded",
    ),
    "400-filter": error(
        400,
        "The response was filtered due to the prompt triggering the content management policy.",
        param="prompt",
        code="content_filter",
    ),
    "error200": Refusal(200, orjson.dumps({"error": {"message": "Provider returned error", "code": 502}})),
    "html200": Refusal(200, b"<html><body><h1>Sign in to the network</h1></body></html>", HTML),
    "bad-json": Refusal(200, b'{"id": "chatcmpl-broken", "object": "chat.completion", "choices": [{"index": 0, "mess'),
    "empty-body": Refusal(200, b""),
}

_MADE: dict[str, Callable[[Fault, Mapping[str, object]], Refusal | None]] = {
    "429": _too_fast,
    "redirect": _redirected,
    "400-schema": _no_schema,
    "400-large": _too_large,
    "400-object": _no_object,
    "400-failed": _failed,
    "400-system": _no_system,
    "400-format": lambda _fault, body: _no_parameter("response_format", body),
    "400-logprobs": lambda _fault, body: _no_parameter("logprobs", body),
    "403-logprobs": _not_allowed,
    "400-top-logprobs": _fewer_logprobs,
    "400-param": lambda fault, body: _no_parameter(fault.value, body),
    "400-max-tokens": _no_max_tokens,
    "400-temperature": _no_temperature,
}
