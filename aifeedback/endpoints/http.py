"""One POST: bytes out, bytes back, and a name for each way in which that can go wrong."""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import os
import socket
import ssl
import time
import zlib
from collections.abc import Mapping
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import aiohttp
import httpx2
from aiohttp.connector import AddrInfoType
from httpx_aiohttp.httpx2 import AiohttpTransport

from aifeedback import __version__
from aifeedback.errors import Away, Hiccup, SettingsError

MAX_BODY = 32 * 1024 * 1024
_LONGEST_WAIT_S = 7 * 86400.0


class HttpResponse:
    """Status, headers and the whole body."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: httpx2.Headers, body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body


class Http:
    """Connections to one endpoint, reused between requests.

    httpx2 over aiohttp, with a session of our own inside: no cookies, generous headers, as many idle connections as
    there is concurrency, proxies from the environment but no .netrc (its passwords are meant for other programs).
    """

    def __init__(self, url: str, headers: Mapping[str, str], *, connections: int) -> None:
        try:
            self._url = httpx2.URL(url)
        except httpx2.InvalidURL as error:
            raise SettingsError(f"--base-url can't be asked: {error}. Check it.") from error
        given = {name.lower(): value.encode("ascii") for name, value in headers.items()}
        ours = {
            "host": self._url.netloc,
            "content-type": b"application/json",
            "accept": b"application/json",
            "user-agent": b"aifeedback/" + __version__.encode(),
            "accept-encoding": b"gzip, deflate",
        }
        self._headers = httpx2.Headers([(name.encode("ascii"), value) for name, value in (ours | given).items()])
        self._connections = connections
        self._transport: AiohttpTransport | None = None
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(
            limit=self._connections + 8, keepalive_timeout=60, ttl_dns_cache=60, socket_factory=_socket
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            proxy=_proxy(self._url),
            max_line_size=65536,
            max_field_size=65536,
            timeout=aiohttp.ClientTimeout(total=None),
        )
        self._transport = AiohttpTransport(client=self._session)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def post(self, content: bytes, timeout_s: float) -> HttpResponse:
        """The whole of one request within `timeout_s`. Raises Away or Hiccup; redirects are not followed."""
        assert self._transport is not None, "used outside its context"
        request = httpx2.Request("POST", self._url, headers=self._headers, stream=httpx2.ByteStream(content))
        request.read()
        request.headers.encoding = "ascii"  # known: else it is found out by decoding each header, twice a request
        try:
            async with asyncio.timeout(timeout_s):
                response = await self._transport.handle_async_request(request)
                try:
                    body = await _read(response)
                finally:
                    await response.stream.aclose()  # type: ignore[union-attr] # always an async stream here
        except TimeoutError as error:
            raise Hiccup(f"no answer within {timeout_s:g} s") from error
        except (httpx2.TransportError, aiohttp.ClientError, OSError, ValueError, zlib.error) as error:
            # Its own traceback may hold the URL, and that a key.
            raise _named(error) from None
        return HttpResponse(response.status_code, response.headers, body)


def _socket(address: AddrInfoType) -> socket.socket:
    """A socket that notices when the other side is not there: a host that is gone, a full queue of new connections.

    What was sent and is not even acknowledged after 10 s was never received: to send it again costs nobody anything,
    while an answer that takes its time is waited for as long as the request may take.
    """
    family, kind, protocol, *_ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, seconds in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_USER_TIMEOUT", 10_000)):
        if hasattr(socket, name):  # not everywhere
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), seconds)
    return made


async def _read(response: httpx2.Response) -> bytes:
    pieces: list[bytes] = []
    size = 0
    response.headers.encoding = "iso-8859-1"  # likewise; this one fits all bytes
    inflate = _inflater(response.headers.get("content-encoding", ""))
    async for chunk in response.stream:  # type: ignore[union-attr] # always an async stream here
        piece = inflate.decompress(chunk, MAX_BODY + 1) if inflate else chunk
        size += len(piece)
        if size > MAX_BODY:
            raise Hiccup(f"the endpoint's answer is larger than {MAX_BODY >> 20} MiB")
        pieces.append(piece)
    if inflate and not inflate.eof:
        raise Hiccup("the endpoint's compressed answer breaks off")
    return b"".join(pieces)


def _inflater(encoding: str) -> zlib._Decompress | None:
    known = encoding.strip().lower()
    if known in {"", "identity"}:
        return None
    if known in {"gzip", "x-gzip", "deflate"}:
        return zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    raise Hiccup(f"the endpoint's answer is encoded as {encoding!r}, which nobody asked for")


def _named(error: BaseException) -> Away | Hiccup:
    """Which of our errors a failed request is: the transport calls refused, unknown and reset alike a time-out."""
    cause = error.__cause__ if isinstance(error, httpx2.TransportError) and error.__cause__ else error
    text = str(cause) or type(cause).__name__
    if isinstance(cause, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError | ssl.SSLError):
        return Away(f"TLS failed: {text}")
    if isinstance(cause, aiohttp.ClientConnectorDNSError):
        return Away(f"the host is unknown: {text}")
    if isinstance(cause, aiohttp.ClientHttpProxyError):  # its own text holds the proxy's URL, and that a password
        return Away(f"the proxy refuses: {cause.status} {cause.message}")
    if isinstance(cause, aiohttp.ClientProxyConnectionError):
        return Away(f"the proxy does not answer: {text}")
    if isinstance(cause, aiohttp.ClientConnectorError):
        number = cause.os_error.errno
        return Away(f"nobody answers: {os.strerror(number) if number else text}")
    if isinstance(cause, aiohttp.ServerDisconnectedError | ConnectionResetError | aiohttp.ClientOSError):
        return Hiccup(f"the connection was lost: {text}")
    if isinstance(cause, zlib.error):
        return Hiccup(f"the endpoint's compressed answer is broken: {text}")
    return Hiccup(f"the answer could not be read: {text}")


def _proxy(url: httpx2.URL) -> str | None:
    """The proxy that the usual variables name for `url`, as curl and requests read them. Raises SettingsError."""
    import urllib.request

    if urllib.request.proxy_bypass(url.netloc.decode("ascii")):
        return None
    proxies = urllib.request.getproxies()
    named = proxies.get(url.scheme) or proxies.get("all")
    if not named:
        return None
    address = named if "://" in named else f"http://{named}"
    try:
        parts = urlsplit(address)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise SettingsError(
            "The proxy in the environment is no http:// address. Set another, or NO_PROXY for this host."
        )
    return address


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds that the endpoint asks to be left alone: a number, fractions too, or an HTTP date; 0 where it doesn't."""
    for name, read in (
        ("retry-after-ms", lambda text: float(text) / 1000),
        ("retry-after", float),
        ("retry-after", lambda text: email.utils.parsedate_to_datetime(text).timestamp() - time.time()),
    ):
        with contextlib.suppress(ValueError, OverflowError):
            seconds = read(headers.get(name, ""))
            return seconds if 0 < seconds < _LONGEST_WAIT_S else 0.0
    return 0.0
