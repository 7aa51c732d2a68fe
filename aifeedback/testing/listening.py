"""The ports of the test server: one for questions, which may go away and come back, one for control that stays."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import ssl
import sys
import threading

from aiohttp import web

from aifeedback.testing.service import Service
from aifeedback.testing.wire import reset

_BACKLOG = 4096


class Listener:
    """The port that questions come to. `go_down` closes it and resets its connections."""

    def __init__(self, service: Service, host: str, port: int, tls: ssl.SSLContext | None = None) -> None:
        self._service = service
        self._tls = tls
        self._web = web.Server(service.handle, handler_cancellation=True, access_log=None, keepalive_timeout=3600)
        self._address = (host, port)
        self._server: asyncio.Server | None = None
        self._coming: asyncio.Task[None] | None = None

    async def come_up(self) -> None:
        """Open the port: the one that was named or, where that was 0, any that is free."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connected, *self._address, backlog=_BACKLOG, ssl=self._tls)
        self._address = self._server.sockets[0].getsockname()[:2]

    @property
    def url(self) -> str:
        """The base URL for clients, once it is up."""
        host, port = self._address
        return f"{'https' if self._tls else 'http'}://{host}:{port}/v1"

    def go_down(self, seconds: float) -> None:
        """Close the port, then every connection to it, and come back after so many seconds (0: never)."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        # Not at once: the answer that was the last one is still to be written.
        asyncio.get_running_loop().call_soon(self._reset_connections)
        if seconds:
            self._coming = asyncio.ensure_future(self._come_back(seconds))

    def _reset_connections(self) -> None:
        for connection in self._web.connections:
            reset(connection.transport)

    async def _come_back(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self.come_up()

    def _connected(self) -> asyncio.Protocol:
        self._service.tally.connections += 1
        return self._web()


async def serve(
    service: Service, host: str, port: int, *, tls: ssl.SSLContext | None = None, until_stdin_closes: bool
) -> None:
    """Serve until a signal or, if so told, the end of stdin; the first line on stdout is JSON with the two addresses."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    listener = Listener(service, host, port, tls)
    service.go_down = listener.go_down
    await listener.come_up()
    control = await loop.create_server(web.Server(service.handle, access_log=None), "127.0.0.1", 0)
    control_port = control.sockets[0].getsockname()[1]
    addresses = {"url": listener.url, "control": f"http://127.0.0.1:{control_port}"}
    sys.stdout.write(json.dumps(addresses) + "\n")
    sys.stdout.flush()
    if until_stdin_closes:
        threading.Thread(target=_watch_stdin, args=(loop, stop), daemon=True).start()
    await stop.wait()


def _watch_stdin(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Whoever started the server holds the other end: its end is ours, even if it was killed."""
    # Not through sys.stdin, whose lock would be held while the interpreter shuts down.
    while os.read(0, 4096):
        pass
    with contextlib.suppress(RuntimeError):  # the loop may have ended on its own meanwhile
        loop.call_soon_threadsafe(stop.set)
