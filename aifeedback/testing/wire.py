"""How an answer travels, or does not: whole, slowly, compressed, torn, in a broken envelope, or cut off by a reset."""

from __future__ import annotations

import asyncio
import gzip
import socket
import struct
import zlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from weakref import WeakSet

import orjson
from aiohttp import web

from aifeedback.testing import messages_api
from aifeedback.testing.faults import Fault

_JSON = "application/json"
_PIECES = 20
_WORDS = b"word " * 200_000
"""One megabyte."""
_MARKS = (b'"content":"', b'"input":{"analysis":"', b'"text":"')
"""Where the content begins, in a chat completion, in the input of a tool and in a text block."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """A completion on its way: the request that it answers, its JSON and its headers."""

    request: web.BaseRequest
    payload: bytes
    headers: Mapping[str, str]

    def whole(self, headers: Mapping[str, str] | None = None, *, content_type: str = _JSON) -> web.Response:
        """All of it at once, with more headers."""
        return self.packed(self.payload, headers, content_type=content_type)

    def packed(
        self, body: bytes, headers: Mapping[str, str] | None = None, *, content_type: str = _JSON
    ) -> web.Response:
        """`body` in place of the JSON."""
        # Not aiohttp's own parameter, which would have the name in order.
        named = {**self.headers, **(headers or {}), "Content-Type": content_type}
        return web.Response(body=body, headers=named)

    async def begun(self, length: int) -> web.StreamResponse:
        """Its head, sent; `length` bytes of body are announced."""
        response = web.StreamResponse(headers=self.headers)
        response.content_type = _JSON
        response.content_length = length
        await response.prepare(self.request)
        return response

    def raw(self, data: bytes, *, close: bool = True) -> None:
        """Bytes on the connection past all rules, which then ends unless it is not to `close`."""
        transport = self.request.transport
        if transport is not None:
            transport.write(data)
            if close:
                transport.close()


async def deliver(parcel: Parcel, fault: Fault | None) -> web.StreamResponse | None:
    """Send a parcel in the way that `fault` says; None where no whole answer went out that could be read."""
    return parcel.whole() if fault is None else await WAYS[fault.kind](parcel, fault)


def reset(transport: asyncio.BaseTransport | None) -> None:
    """Close a connection with RST instead of FIN."""
    if transport is None or not isinstance(transport, asyncio.WriteTransport):
        return
    connection = transport.get_extra_info("socket")
    if connection is not None:
        # Lingering for no time at all is what makes the kernel send RST.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


async def _reset_before(parcel: Parcel, _fault: Fault) -> None:
    reset(parcel.request.transport)


async def _reset_inside(parcel: Parcel, _fault: Fault) -> None:
    response = await parcel.begun(len(parcel.payload))
    await response.write(parcel.payload[: len(parcel.payload) // 2])
    reset(parcel.request.transport)


async def _reset_after(parcel: Parcel, _fault: Fault) -> web.StreamResponse:
    response = await parcel.begun(len(parcel.payload))
    await response.write(parcel.payload)
    await response.write_eof()
    reset(parcel.request.transport)
    return response


async def _close_after(parcel: Parcel, _fault: Fault) -> web.StreamResponse:
    response = await parcel.begun(len(parcel.payload))
    await response.write(parcel.payload)
    await response.write_eof()
    if parcel.request.transport is not None:
        parcel.request.transport.close()
    return response


_USED: WeakSet[asyncio.BaseTransport] = WeakSet()
"""Connections that have brought an answer to which `stale` applied."""


async def _stale(parcel: Parcel, _fault: Fault) -> web.StreamResponse | None:
    transport = parcel.request.transport
    if transport is None or transport in _USED:
        parcel.raw(b"")
        return None
    _USED.add(transport)
    return parcel.whole()


async def _half_chunk(parcel: Parcel, _fault: Fault) -> None:
    payload = parcel.payload
    head = _head("Transfer-Encoding: chunked")
    parcel.raw(head + b"%x\r\n" % len(payload) + payload[: len(payload) // 2])


async def _trickle(parcel: Parcel, fault: Fault) -> web.StreamResponse:
    response = await parcel.begun(len(parcel.payload))
    size = max(1, -(-len(parcel.payload) // _PIECES))
    for start in range(0, len(parcel.payload), size):
        await asyncio.sleep(fault.number / _PIECES)
        await response.write(parcel.payload[start : start + size])
    return response


async def _stall(parcel: Parcel, fault: Fault) -> web.StreamResponse:
    await asyncio.sleep(fault.number)
    return parcel.whole()


async def _gzip(parcel: Parcel, _fault: Fault) -> web.StreamResponse:
    return parcel.packed(gzip.compress(parcel.payload), {"Content-Encoding": "gzip"})


async def _deflate(parcel: Parcel, _fault: Fault) -> web.StreamResponse:
    return parcel.packed(zlib.compress(parcel.payload), {"Content-Encoding": "deflate"})


async def _broken_gzip(parcel: Parcel, _fault: Fault) -> web.StreamResponse:
    packed = gzip.compress(parcel.payload)
    half = len(packed) // 2
    return parcel.packed(packed[:half] + b"\xff" * (len(packed) - half), {"Content-Encoding": "gzip"})


async def _content_type(parcel: Parcel, fault: Fault) -> web.StreamResponse:
    return parcel.whole(content_type=fault.value)


async def _event_stream(parcel: Parcel, _fault: Fault) -> web.StreamResponse:
    return parcel.packed(b"".join(_events(parcel.payload)), content_type="text/event-stream")


async def _cut_stream(parcel: Parcel, _fault: Fault) -> web.StreamResponse:
    events = list(_events(parcel.payload))
    return parcel.packed(b"".join(events[: len(events) // 2]), content_type="text/event-stream")


def _events(payload: bytes) -> Iterator[bytes]:
    """An answer as the events of a stream."""
    completion = orjson.loads(payload)
    if "choices" not in completion:
        yield from messages_api.events(completion)
        return
    choice = completion["choices"][0]
    texts = {name: text for name, text in choice["message"].items() if name != "role" and isinstance(text, str)}
    deltas = [{name: text[at : at + 8]} for name, text in texts.items() for at in range(0, len(text), 8)]
    common = {**completion, "object": "chat.completion.chunk", "usage": None}
    for delta in ({"role": "assistant", "content": ""}, *deltas):
        yield _event({**common, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
    listed = (choice["logprobs"] or {}).get("content", [])
    for at in range(0, len(listed), 8):
        told = {"index": 0, "delta": {}, "finish_reason": None, "logprobs": {"content": listed[at : at + 8]}}
        yield _event({**common, "choices": [told]})
    yield b": a comment, as gateways send to keep a connection open\n\n"
    yield _event({**common, "choices": [{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}]})
    yield _event({**common, "choices": [], "usage": completion["usage"]})
    yield b"data: [DONE]\n\n"


def _event(value: object) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\n\n"


async def _huge(parcel: Parcel, fault: Fault) -> web.StreamResponse:
    megabytes = int(fault.number)
    # Inside the content, so that the body stays valid JSON; piece by piece, so that the server stays small.
    begins = next((mark for mark in _MARKS if mark in parcel.payload), _MARKS[0])
    before, mark, after = parcel.payload.partition(begins)
    response = await parcel.begun(len(parcel.payload) + megabytes * len(_WORDS) * bool(mark))
    await response.write(before + mark)
    for _ in range(megabytes * bool(mark)):
        await response.write(_WORDS)
    await response.write(after)
    return response


async def _many_headers(parcel: Parcel, fault: Fault) -> web.StreamResponse:
    return parcel.whole({f"X-Padding-{number}": "x" * 1000 for number in range(int(fault.number))})


async def _long_header(parcel: Parcel, fault: Fault) -> web.StreamResponse:
    return parcel.whole({"X-Padding": "x" * int(fault.number * 1000)})


async def _http10(parcel: Parcel, _fault: Fault) -> web.StreamResponse | None:
    parcel.raw(b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n" + parcel.payload)
    return web.Response()


async def _twice(parcel: Parcel, _fault: Fault) -> web.StreamResponse | None:
    answer = _head(f"Content-Length: {len(parcel.payload)}") + parcel.payload
    parcel.raw(answer + answer, close=False)
    await asyncio.sleep(0.3)  # what aiohttp says itself after that ends the connection
    parcel.raw(b"")
    return web.Response()


def _enveloped(*lines: str, status: str = "HTTP/1.1 200 OK", longer_by: int | None = 0, read: bool = False) -> Way:
    """The right body behind these header lines; its length is given so many bytes too long (None: not at all)."""

    async def send(parcel: Parcel, _fault: Fault) -> web.StreamResponse | None:
        length = [] if longer_by is None else [f"Content-Length: {len(parcel.payload) + longer_by}"]
        parcel.raw(_head(*lines, *length, status=status) + parcel.payload)
        return web.Response() if read else None

    return send


def _head(*lines: str, status: str = "HTTP/1.1 200 OK") -> bytes:
    return "\r\n".join([status, f"Content-Type: {_JSON}", *lines, "", ""]).encode("latin-1")


Way = Callable[[Parcel, Fault], Awaitable[web.StreamResponse | None]]

WAYS: dict[str, Way] = {
    "reset-before": _reset_before,
    "reset-inside": _reset_inside,
    "reset-after": _reset_after,
    "close-after": _close_after,
    "stale": _stale,
    "half-chunk": _half_chunk,
    "trickle": _trickle,
    "stall": _stall,
    "gzip": _gzip,
    "deflate": _deflate,
    "broken-gzip": _broken_gzip,
    "content-type": _content_type,
    "event-stream": _event_stream,
    "cut-stream": _cut_stream,
    "huge": _huge,
    "many-headers": _many_headers,
    "long-header": _long_header,
    "http10": _http10,
    "twice": _twice,
    "odd-header": _enveloped("X-City: K\xf6ln\xff", read=True),
    "no-colon": _enveloped("This line is no header"),
    "bad-status": _enveloped(status="HTTP/1.1 OK"),
    "negative-length": _enveloped("Content-Length: -1", longer_by=None),
    "two-lengths": _enveloped("Content-Length: 7"),
    "larger-length": _enveloped(longer_by=100),
    "smaller-length": _enveloped(longer_by=-40),
}
"""The kinds of fault that are about delivery."""
