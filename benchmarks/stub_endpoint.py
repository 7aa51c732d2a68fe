"""A chat completions endpoint that costs next to nothing, so that what is measured is the client.

    python benchmarks/stub_endpoint.py --latency 0.2 --slow-share 0.01 --slow 3

prints its base URL as a line and serves until stdin closes. It answers `A` where the text GOOD stands before the text
BAD in the request, else `B`: the same response in both orders. Needs httptools and uvloop (`pip install -e '.[bench]'`).
`GET /_stats` gives the requests so far, the sum of the latencies they were given, when the first one was complete
(seconds since 1970) and the server's CPU seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import threading
import time
from hashlib import blake2b
from typing import cast

import httptools
import uvloop

# The space keeps a code made of letters and digits from looking like one of them.
GOOD, BAD = b"GOOD ", b"BAD "
_USAGE = b'"usage":{"prompt_tokens":700,"completion_tokens":40,"total_tokens":740}'


def _response(answer: bytes) -> bytes:
    content = b'{\\"analysis\\": \\"One response does what was asked.\\", \\"verdict\\": \\"%s\\"}' % answer
    body = (
        b'{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"stub","system_fingerprint":"fp_stub",'
        b'"choices":[{"index":0,"message":{"role":"assistant","content":"'
        + content
        + b'"},"finish_reason":"stop"}],'
        + _USAGE
        + b"}"
    )
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


A, B = _response(b"A"), _response(b"B")


class Stub(asyncio.Protocol):
    """One connection."""

    latency = 0.0
    slow = 0.0
    slow_share = 0.0
    requests = 0
    waited_s = 0.0
    first_request = 0.0

    def __init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._body: list[bytes] = []
        self._url = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self._url = url

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        body = b"".join(self._body)
        self._body.clear()
        if self._url.endswith(b"_stats"):
            stats = b'{"requests":%d,"latency_s":%.6f,"first_request":%.6f,"cpu_s":%.3f}' % (
                Stub.requests,
                Stub.waited_s,
                Stub.first_request,
                time.process_time(),
            )
            self._send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(stats), stats))
            return
        Stub.first_request = Stub.first_request or time.time()
        Stub.requests += 1
        good, bad = body.rfind(GOOD), body.rfind(BAD)
        answer = A if good < bad else B
        wait = self.latency
        if self.slow_share and int.from_bytes(blake2b(body, digest_size=4).digest()) < self.slow_share * 2**32:
            wait = self.slow
        Stub.waited_s += wait
        if wait:
            asyncio.get_running_loop().call_later(wait, self._send, answer)
        else:
            self._send(answer)

    def _send(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)


async def serve() -> None:
    """Serve until stdin closes."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Stub, "127.0.0.1", 0, backlog=4096)
    sys.stdout.write(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1\n")
    sys.stdout.flush()
    stop = asyncio.Event()

    def watch() -> None:
        while os.read(0, 4096):
            pass
        loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=watch, daemon=True).start()
    await stop.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument(
        "--slow-share", type=float, default=0.0, help="the share of questions, by their hash, that take --slow"
    )
    parser.add_argument("--slow", type=float, default=3.0, help="seconds that a straggler takes")
    given = parser.parse_args()
    Stub.latency, Stub.slow_share, Stub.slow = given.latency, given.slow_share, given.slow
    uvloop.run(serve())
