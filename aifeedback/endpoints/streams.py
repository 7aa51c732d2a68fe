"""A reply that came as a stream, though nobody asked for one, put together again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import orjson

from aifeedback.endpoints.payload import part_of
from aifeedback.errors import Hiccup

_TEXTS = ("content", "reasoning_content", "reasoning", "refusal")


def completion(payload: bytes) -> dict[str, object] | None:
    """The chat completion that the events amount to, or the error among them; None where `payload` is no stream.

    Raises Hiccup where the stream ends before the answer does: half an answer may look like a whole one.
    """
    if not _is_stream(payload):
        return None
    whole: dict[str, object] = {}
    texts = dict.fromkeys(_TEXTS, "")
    finish_reason: object = None
    logprobs: list[object] = []
    for data in _events(payload):
        if data.strip() == b"[DONE]":
            break
        chunk = _object(data)
        if chunk.get("error"):
            return chunk
        whole |= {name: value for name, value in chunk.items() if value and name != "choices"}
        choice = _first(chunk.get("choices"))
        finish_reason = choice.get("finish_reason") or finish_reason
        tokens = part_of(choice, "logprobs").get("content")
        logprobs += tokens if isinstance(tokens, list) else []
        piece = choice.get("delta") or choice.get("message")
        if isinstance(piece, dict):
            for name in _TEXTS:
                texts[name] += piece[name] if isinstance(piece.get(name), str) else ""
    if not finish_reason:  # the mark of the end is no proof: a proxy writes it too where the server broke off
        raise Hiccup("the endpoint streams its answer, which it was not asked to, and breaks off")
    choice = {"index": 0, "message": texts, "finish_reason": finish_reason, "logprobs": {"content": logprobs}}
    return {**whole, "choices": [choice]}


def message(payload: bytes) -> dict[str, object] | None:
    """The same for the events of Anthropic's Messages API: the message that they amount to, or the error among them."""
    if not _is_stream(payload):
        return None
    whole: dict[str, object] = {}
    blocks: dict[int, dict[str, object]] = {}
    for data in _events(payload):
        event = _object(data)
        match event.get("type"):
            case "error":
                return event
            case "message_start":
                whole = dict(part_of(event, "message"))
            case "content_block_start" | "content_block_delta":
                _add(blocks, event)
            case "message_delta":
                usage = {**part_of(whole, "usage"), **part_of(event, "usage")}
                whole |= {**part_of(event, "delta"), "usage": usage}
            case "message_stop" if whole.get("stop_reason"):
                return {**whole, "content": [_whole_block(block) for _, block in sorted(blocks.items())]}
    raise Hiccup("the endpoint streams its answer, which it was not asked to, and breaks off")


_DELTAS = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}


def _add(blocks: dict[int, dict[str, object]], event: Mapping[str, object]) -> None:
    """Begin a content block, or add to one."""
    index = event.get("index")
    block = blocks.setdefault(index if isinstance(index, int) else 0, {})
    block.update(part_of(event, "content_block"))
    delta = part_of(event, "delta")
    field = _DELTAS.get(str(delta.get("type")), "")
    piece, before = delta.get(field), block.get(field)
    if isinstance(piece, str):
        block[field] = (before if isinstance(before, str) else "") + piece


def _whole_block(block: dict[str, object]) -> dict[str, object]:
    """A content block with the input of a tool as it was spelled piece by piece; a broken one stays a text."""
    spelled = block.pop("partial_json", "")
    if not isinstance(spelled, str) or not spelled:
        return block
    try:
        return {**block, "input": orjson.loads(spelled)}
    except ValueError:
        return {**block, "input": spelled}


def _is_stream(payload: bytes) -> bool:
    return payload.lstrip().startswith((b"data:", b"event:", b"id:", b"retry:", b":"))


def _events(payload: bytes) -> Iterator[bytes]:
    """The data of each event; comments and other fields are left out."""
    lines: list[bytes] = []
    for line in (*payload.replace(b"\r\n", b"\n").split(b"\n"), b""):
        if line.startswith(b"data:"):
            lines.append(line.removeprefix(b"data:").removeprefix(b" "))
        elif not line and lines:
            yield b"\n".join(lines)
            lines = []


def _object(data: bytes) -> dict[str, object]:
    try:
        value: object = orjson.loads(data)
    except ValueError as error:
        raise Hiccup("the endpoint streams its answer, which it was not asked to, and one event is no JSON") from error
    return value if isinstance(value, dict) else {}


def _first(choices: object) -> dict[str, object]:
    """The piece of the first of several answers: events bring them in turn."""
    pieces = [choice for choice in choices if isinstance(choice, dict)] if isinstance(choices, list) else []
    return next((piece for piece in pieces if not piece.get("index")), {})
