"""One request: bytes out, bytes back, and a name for each way in which that can go wrong."""

from __future__ import annotations

import asyncio
import socket
import zlib
from collections.abc import Mapping
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import aiohttp
from aiohttp.connector import AddrInfoType
from yarl import URL

from aifeedback import __version__
from aifeedback.endpoints import mishaps
from aifeedback.errors import Away, CriticGone, Hiccup, SettingsError

MAX_BODY = 32 * 1024 * 1024
_LONGEST_URL = 65_536


class HttpResponse:
    """Status, headers and the whole body."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body


class Http:
    """Connections to one endpoint, reused between requests.

    An aiohttp session without cookies, with generous headers, as many idle connections as there is concurrency, proxies
    from the environment but no .netrc (its passwords are meant for other programs). The headers are the session's:
    given with each request they would be copied twice.
    """

    def __init__(self, url: str, headers: Mapping[str, str], *, connections: int) -> None:
        if len(url) > _LONGEST_URL or any(ord(character) < 33 or ord(character) == 127 for character in url):
            raise SettingsError(
                "--base-url can't be asked: it is too long, or holds spaces or control characters. Check it."
            )
        try:
            self._url = URL(url)
        except ValueError as error:
            raise SettingsError(f"--base-url can't be asked: {error}. Check it.") from error
        ours = {
            "content-type": "application/json",
            "accept": "application/json",
            "user-agent": f"aifeedback/{__version__}",
            "accept-encoding": "gzip, deflate",
        }
        self._headers = ours | {name.lower(): value for name, value in headers.items()}
        self._connections = connections
        self._spoken = False
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(
            limit=self._connections + 8, keepalive_timeout=60, ttl_dns_cache=60, socket_factory=_socket
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            headers=self._headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            proxy=_proxy(self._url),
            max_line_size=65536,
            max_field_size=65536,
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def post(self, content: bytes, timeout_s: float) -> HttpResponse:
        """The whole of one request within `timeout_s`. Redirects are not followed.

        Raises Away, Hiccup, and CriticGone where the two sides will never understand each other.
        """
        return await self._exchange("POST", self._url, content, timeout_s)

    async def get(self, url: str, timeout_s: float) -> HttpResponse:
        """The same for what lies at another `url` of the same host, without a body."""
        return await self._exchange("GET", URL(url), None, timeout_s)

    async def _exchange(self, method: str, url: URL, content: bytes | None, timeout_s: float) -> HttpResponse:
        assert self._session is not None, "used outside its context"
        try:
            async with (
                asyncio.timeout(timeout_s),
                self._session.request(method, url, data=content, allow_redirects=False) as response,
            ):
                body = await _read(response)
        except TimeoutError as error:
            raise Hiccup(f"no answer within {timeout_s:g} s") from error
        except (aiohttp.ClientError, OSError, ValueError, zlib.error) as error:
            # Its own traceback may hold the URL, and that a key.
            raise self._named(error) from None
        self._spoken = True
        return HttpResponse(response.status, response.headers, body)

    def _named(self, error: BaseException) -> Away | CriticGone | Hiccup:
        """Which of our errors a failed request is; the first one may have a cause that a later one can't have."""
        named = mishaps.named(error)
        if isinstance(error, aiohttp.ServerDisconnectedError) and not self._spoken and self._url.scheme == "http":
            return Hiccup(f"{named}. Should --base-url begin with https://?")
        return named


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


async def _read(response: aiohttp.ClientResponse) -> bytes:
    pieces: list[bytes] = []
    size = 0
    inflate = _inflater(response.headers.get("content-encoding", ""))
    while chunk := await response.content.readany():
        piece = inflate.decompress(chunk, MAX_BODY + 1) if inflate else chunk
        size += len(piece)
        if size > MAX_BODY:
            raise Hiccup(f"the endpoint's answer is larger than {MAX_BODY >> 20} MiB")
        pieces.append(piece)
    if inflate and not inflate.eof:
        raise Hiccup("the endpoint's compressed answer breaks off")
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _inflater(encoding: str) -> zlib._Decompress | None:
    known = encoding.strip().lower()
    if known in {"", "identity"}:
        return None
    if known in {"gzip", "x-gzip", "deflate"}:
        return zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    raise Hiccup(f"the endpoint's answer is encoded as {encoding!r}, which nobody asked for")


def _proxy(url: URL) -> str | None:
    """The proxy that the usual variables name for `url`, as curl and requests read them. Raises SettingsError."""
    import urllib.request

    if urllib.request.proxy_bypass(url.authority):
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
