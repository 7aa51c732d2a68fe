"""How an answer travels, or does not: whole, slowly, compressed, torn, or cut off by a reset."""

from __future__ import annotations

import asyncio
import gzip
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from aiohttp import web

from aifeedback.testing.faults import Fault

_PIECES = 20
_WORDS = b"word " * 200_000
"""One megabyte."""
_MARK = b'"content":"'


@dataclass(frozen=True, slots=True)
class Parcel:
    """A completion on its way: the request that it answers, its JSON and its headers."""

    request: web.BaseRequest
    payload: bytes
    headers: Mapping[str, str]

    def whole(self) -> web.Response:
        """All of it at once."""
        return web.Response(body=self.payload, headers=self.headers, content_type="application/json")

    async def begun(self, length: int) -> web.StreamResponse:
        """Its head, sent; `length` bytes of body are announced."""
        response = web.StreamResponse(headers=self.headers)
        response.content_type = "application/json"
        response.content_length = length
        await response.prepare(self.request)
        return response


async def deliver(parcel: Parcel, fault: Fault | None) -> web.StreamResponse:
    """Send a parcel in the way that `fault` says."""
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


async def _reset_before(parcel: Parcel, _fault: Fault) -> web.StreamResponse:
    reset(parcel.request.transport)
    return web.Response()


async def _reset_inside(parcel: Parcel, _fault: Fault) -> web.StreamResponse:
    response = await parcel.begun(len(parcel.payload))
    await response.write(parcel.payload[: len(parcel.payload) // 2])
    reset(parcel.request.transport)
    return response


async def _reset_after(parcel: Parcel, _fault: Fault) -> web.StreamResponse:
    response = await parcel.begun(len(parcel.payload))
    await response.write(parcel.payload)
    await response.write_eof()
    reset(parcel.request.transport)
    return response


async def _half_chunk(parcel: Parcel, _fault: Fault) -> web.StreamResponse:
    transport, payload = parcel.request.transport, parcel.payload
    if transport is not None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        transport.write(head + b"%x\r\n" % len(payload) + payload[: len(payload) // 2])
        transport.close()
    return web.Response()


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
    packed = {**parcel.headers, "Content-Encoding": "gzip"}
    return web.Response(body=gzip.compress(parcel.payload), headers=packed, content_type="application/json")


async def _huge(parcel: Parcel, fault: Fault) -> web.StreamResponse:
    megabytes = int(fault.number)
    # Inside the content, so that the body stays valid JSON; piece by piece, so that the server stays small.
    before, mark, after = parcel.payload.partition(_MARK)
    response = await parcel.begun(len(parcel.payload) + megabytes * len(_WORDS) * bool(mark))
    await response.write(before + mark)
    for _ in range(megabytes * bool(mark)):
        await response.write(_WORDS)
    await response.write(after)
    return response


Way = Callable[[Parcel, Fault], Awaitable[web.StreamResponse]]

WAYS: dict[str, Way] = {
    "reset-before": _reset_before,
    "reset-inside": _reset_inside,
    "reset-after": _reset_after,
    "half-chunk": _half_chunk,
    "trickle": _trickle,
    "stall": _stall,
    "gzip": _gzip,
    "huge": _huge,
}
"""The kinds of fault that are about delivery."""
TORN = frozenset({"reset-before", "reset-inside", "half-chunk"})
"""Those after which no whole answer has arrived."""
