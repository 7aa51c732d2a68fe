"""One request: what arrives, and a name for each way in which it can go wrong."""

from __future__ import annotations

import asyncio
import gzip
import time
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email.utils import formatdate
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import pytest
from yarl import URL

from aifeedback.critics.endpoint import EndpointCritic
from aifeedback.endpoints import http, mishaps
from aifeedback.endpoints.address import EndpointSettings, resolve
from aifeedback.endpoints.chat import ChatParameters
from aifeedback.endpoints.features import Features
from aifeedback.endpoints.http import Http
from aifeedback.endpoints.limits import retry_after
from aifeedback.errors import AifeedbackError, Away, Busy, CriticGone, GiveUp, Hiccup, SettingsError
from aifeedback.jsontext import dumps
from aifeedback.records import Message, Order, Pair, PFirst, Question, VerdictFormat

QUESTION = Question(
    (Message("user", "u"),), VerdictFormat("json", {"A": PFirst(1.0)}), Pair("1", "p", "a", "b"), Order.AB
)
ANSWER = dumps({"choices": [{"finish_reason": "stop", "message": {"content": "yes"}}]})


@asynccontextmanager
async def serving(*replies: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that gives these bytes in turn, the last again and again, and hangs up; and the requests that it saw."""
    seen: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:  # no HTTP, but a greeting in TLS
            writer.close()
            return
        length = next(
            int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
        )
        seen.append(head + await reader.readexactly(length))
        writer.write(replies[min(len(seen), len(replies)) - 1])
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", seen


def reply(body: bytes, *headers: str, status: int = 200) -> bytes:
    lines = [f"HTTP/1.1 {status} Whatever", "Connection: close", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


async def post(url: str, timeout_s: float = 5.0, headers: dict[str, str] | None = None) -> http.HttpResponse:
    async with Http(url, headers or {}, connections=4) as endpoint:
        return await endpoint.post(b"{}", timeout_s)


@pytest.mark.parametrize(
    ("wire", "body"),
    [
        (reply(b"hello"), b"hello"),
        (reply(gzip.compress(b"hello"), "Content-Encoding: gzip"), b"hello"),
        (reply(gzip.compress(b"hello"), "Content-Encoding: X-GZIP"), b"hello"),
        (reply(zlib.compress(b"hello"), "Content-Encoding: deflate"), b"hello"),
        (reply(b"hello", "Content-Encoding: identity"), b"hello"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", b"hello"),
        (b"HTTP/1.0 200 OK\r\n\r\nhello", b"hello"),
        (reply(b"hello", "Set-Cookie: a=b", "X-Long: " + "x" * 40_000), b"hello"),
        (reply(b""), b""),
    ],
    ids=["plain", "gzip", "x-gzip", "deflate", "identity", "chunked", "until the end", "long header", "empty"],
)
async def test_the_whole_body_arrives(wire: bytes, body: bytes) -> None:
    async with serving(wire) as (url, _):
        assert (await post(url)).body == body


@pytest.mark.parametrize(
    ("wire", "says"),
    [
        (b"", "closed without an answer. Should --base-url begin with https"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", "read"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nhal", "read"),
        (b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "Invalid header token$"),
        (reply(gzip.compress(b"hello " * 99)[:-9], "Content-Encoding: gzip"), "breaks off"),
        (reply(b"no gzip at all", "Content-Encoding: gzip"), "compressed answer is broken"),
        (reply(b"hello", "Content-Encoding: br"), "'br'"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "."),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", "."),
    ],
    ids=[
        "nothing",
        "half a body",
        "half a chunk",
        "no colon",
        "half a gzip",
        "no gzip",
        "brotli",
        "no HTTP",
        "huge header",
    ],
)
async def test_what_breaks_on_the_way_is_one_attempt(wire: bytes, says: str) -> None:
    async with serving(wire) as (url, _):
        with pytest.raises(Hiccup, match=says):
            await post(url)


async def test_an_answer_that_is_too_large_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MAX_BODY", 1 << 20)
    for wire in (reply(b"x" * (2 << 20)), reply(gzip.compress(b"x" * (64 << 20)), "Content-Encoding: gzip")):
        async with serving(wire) as (url, _):
            with pytest.raises(Hiccup, match="larger than 1 MiB"):
                await post(url)


async def test_a_time_out_covers_the_whole_request() -> None:
    async def never(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(20):
            writer.write(b"x")
            await asyncio.sleep(0.05)
        writer.close()

    server = await asyncio.start_server(never, "127.0.0.1", 0)
    async with server:
        started = time.monotonic()
        with pytest.raises(Hiccup, match=r"within 0\.2 s"):
            await post(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", timeout_s=0.2)
        assert time.monotonic() - started < 0.9


async def test_an_endpoint_that_is_not_there_is_away() -> None:
    with pytest.raises(Away, match="nobody answers"):
        await post("http://127.0.0.1:9/v1")
    with pytest.raises(Away, match="unknown"):
        await post("http://no-such-host.invalid/v1")


async def test_who_speaks_no_tls_never_will() -> None:
    answer = b"SSH-2.0-OpenSSH_9.6\r\n" * 10

    async def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()
        await asyncio.sleep(0.2)
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with server:
        with pytest.raises(CriticGone, match="no TLS is spoken"):
            await post(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")


async def test_a_handshake_that_breaks_off_may_succeed_the_next_time() -> None:
    async with serving(reply(b"hello")) as (url, _):
        with pytest.raises((Away, Hiccup)):
            await post(url.replace("http:", "https:"), timeout_s=0.3)


async def test_no_error_shows_what_was_received_or_the_address() -> None:
    secret = b"sk-0123456789"
    for wire in (
        b"HTTP/1.1 200 OK\r\n" + secret + b"\r\n\r\n", secret + b"\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: " + secret + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + secret * 9999 + b"\r\n\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + secret,
    ):  # fmt: skip
        async with serving(wire) as (url, _):
            with pytest.raises(Hiccup) as caught:
                await post(f"{url}?key=sk-0123456789")
        assert "sk-" not in str(caught.value)
        assert "\n" not in str(caught.value)


async def test_headers_of_the_users_own_take_the_place_of_ours() -> None:
    async with serving(reply(b"hello")) as (url, seen):
        await post(url, headers={"user-agent": "mine", "X-Title": "labels"})
    head = seen[0].lower()
    assert (
        head.count(b"user-agent:")
        == head.count(b"host:")
        == head.count(b"content-length:")
        == head.count(b"content-type:")
        == 1
    )
    assert b"user-agent: mine" in head
    assert b"x-title: labels" in head
    assert b"cookie" not in head


async def test_passwords_of_other_programs_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".netrc").write_text(
        "machine 127.0.0.1 login ann password other-programs-password\ndefault login ann password x\n"
    )
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    async with serving(reply(b"hello")) as (url, seen):
        await post(url)
    assert b"authorization" not in seen[0].lower()


PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture
def proxied(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set these variables, and no others that name a proxy."""

    def setting(**values: str) -> None:
        for name in PROXIES:
            monkeypatch.delenv(name, raising=False)
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    return setting


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
async def test_a_proxy_from_the_environment_is_used(proxied: Callable[..., None], name: str) -> None:
    async with serving(reply(b"from the proxy")) as (url, seen):
        proxied(**{name: url})
        assert (
            await post("http://far-away.invalid/v1", headers={"Authorization": "Bearer k"})
        ).body == b"from the proxy"
    assert seen[0].startswith(b"POST http://far-away.invalid/v1 HTTP/1.1\r\n")


async def test_a_proxy_may_have_a_password_and_no_scheme(proxied: Callable[..., None]) -> None:
    async with serving(reply(b"from the proxy")) as (url, seen):
        proxied(HTTP_PROXY=url.replace("http://", "ann:p%40ss@"))
        await post("http://far-away.invalid/v1")
    assert b"proxy-authorization: basic yw5uonbac3m=" in seen[0].lower()  # ann:p@ss


@pytest.mark.parametrize("exception", ["127.0.0.1", "*", "PORT"])
async def test_no_proxy_is_honoured_with_and_without_a_port(proxied: Callable[..., None], exception: str) -> None:
    async with serving(reply(b"direct")) as (url, _):
        proxied(HTTP_PROXY="http://127.0.0.1:9", NO_PROXY=exception.replace("PORT", url.removeprefix("http://")))
        assert (await post(url)).body == b"direct"


async def test_a_proxy_that_is_gone_is_away_and_its_password_is_not_shown(proxied: Callable[..., None]) -> None:
    proxied(HTTP_PROXY="http://ann:secret-word@127.0.0.1:9")
    with pytest.raises(Away, match="proxy") as caught:
        await post("http://far-away.invalid/v1")
    assert "secret-word" not in str(caught.value)


@pytest.mark.parametrize("proxy", ["socks5://ann:secret-word@127.0.0.1:1080", "http://[::1", "http://host:port"])
async def test_a_proxy_that_is_none_is_a_setting_to_mend(proxied: Callable[..., None], proxy: str) -> None:
    proxied(ALL_PROXY=proxy)
    with pytest.raises(SettingsError, match="proxy") as caught:
        await post("http://far-away.invalid/v1")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 0), ({"retry-after": "3"}, 3), ({"retry-after": " 0.25 "}, 0.25), ({"retry-after": "0"}, 0), ({"retry-after": "-5"}, 0), ({"retry-after": "soon"}, 0),
        ({"retry-after": ""}, 0), ({"retry-after": "nan"}, 0), ({"retry-after": "inf"}, 0), ({"retry-after": "1e99"}, 0), ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
        ({"retry-after": "Mon, 01 Jan 0001 00:00:00 -0000"}, 0), ({"retry-after": "Wed, 99 Oct 9999 99:99:99 GMT"}, 0),
        ({"retry-after-ms": "1500", "retry-after": "2"}, 1.5), ({"retry-after-ms": "soon", "retry-after": "2"}, 2), ({"retry-after-ms": "1500"}, 1.5),
    ],
)  # fmt: skip
def test_how_long_to_wait_is_read_from_the_headers(headers: dict[str, str], seconds: float) -> None:
    assert retry_after(headers) == seconds


def test_a_date_says_how_long_to_wait_too() -> None:
    assert 28 < retry_after({"retry-after": formatdate(time.time() + 30, usegmt=True)}) <= 30


@asynccontextmanager
async def critic(
    url: str, learnt: list[tuple[Features, str]] | None = None, **environment: str
) -> AsyncIterator[EndpointCritic]:
    settings = (
        EndpointSettings("openai/m", base_url=url, api_key_env="KEY")
        if environment
        else EndpointSettings("vllm/m", base_url=url)
    )
    told = [] if learnt is None else learnt
    async with EndpointCritic(
        resolve(settings, environment), ChatParameters("m", 0.0, 10, "low", {}), timeout_s=5, connections=4, features=Features(),
        on_learnt=lambda features, said: told.append((features, said)),
    ) as one:  # fmt: skip
        yield one


def refusing(message: str, **more: str) -> bytes:
    return reply(dumps({"error": {"message": message, **more}}), status=400)


async def test_what_is_refused_is_left_out_and_told_once_it_was_answered() -> None:
    learnt: list[tuple[Features, str]] = []
    async with (
        serving(refusing("'temperature' is not supported"), refusing("no response_format here"), reply(ANSWER)) as (
            url,
            seen,
        ),
        critic(url, learnt) as one,
    ):
        assert (await one.ask(QUESTION)).rung == "json_object"
        assert (await one.ask(QUESTION)).content == "yes"
    assert len(seen) == 4
    assert learnt == [
        (
            Features(rung=1, dropped=("temperature=0.0",)),
            "refused a parameter ('temperature' is not supported; no response_format here)",
        )
    ]


async def test_refusals_do_not_say_that_log_probabilities_are_dropped() -> None:
    refusal = reply(dumps({"choices": [{"finish_reason": "stop", "message": {"content": None, "refusal": "No."}}]}))
    learnt: list[tuple[Features, str]] = []
    async with serving(refusal, refusal, refusal, reply(ANSWER)) as (url, seen), critic(url, learnt) as one:
        for _ in range(5):
            await one.ask(QUESTION)
        assert not learnt
        assert all(b'"top_logprobs":20' in request for request in seen)
        await one.ask(QUESTION)  # the third answer without any that is none
        assert [features.top_logprobs for features, _ in learnt] == [0]


async def test_a_limit_that_is_refused_under_either_name_is_left_out_from_then_on() -> None:
    learnt: list[tuple[Features, str]] = []
    unsupported = [refusing(f"Unsupported parameter: {name}") for name in ("max_tokens", "max_completion_tokens")]
    async with serving(*unsupported, reply(ANSWER)) as (url, seen), critic(url, learnt) as one:
        for _ in range(2):
            await one.ask(QUESTION)
    assert len(seen) == 2 + 2
    assert [features.dropped for features, _ in learnt] == [("max_tokens", "max_completion_tokens")]


async def test_a_router_that_finds_nobody_for_all_that_was_sent_is_asked_for_less() -> None:
    learnt: list[tuple[Features, str]] = []
    nobody = reply(dumps({"error": {"message": "No endpoints found that can handle the requested parameters.", "code": 404}}), status=404)  # fmt: skip
    async with serving(nobody, nobody, nobody, reply(ANSWER)) as (url, seen), critic(url, learnt) as one:
        assert (await one.ask(QUESTION)).rung == "text"
    assert len(seen) == 4
    assert [features for features, _ in learnt] == [Features(rung=2, top_logprobs=0)]


async def test_the_same_body_is_never_sent_again_after_a_refusal() -> None:
    told = refusing("'response_format' is not supported")
    async with serving(told, told, told) as (url, seen), critic(url) as one:
        for _ in range(2):
            with pytest.raises(GiveUp):
                await one.ask(QUESTION)
    assert len(seen) == 4, "on each rung once, and then without"


ALL = "temperature, reasoning_effort, response_format, max_tokens and max_completion_tokens are not supported"


@pytest.mark.parametrize(
    "message",
    [
        ALL,
        " ".join(reversed(ALL.split())),
        "Use max_completion_tokens, not max_tokens",
        "Use max_tokens, not max_completion_tokens",
        "no",
    ],
)
async def test_an_endpoint_that_refuses_everything_is_given_up_soon_and_teaches_nothing(message: str) -> None:
    learnt: list[tuple[Features, str]] = []
    async with serving(refusing(message)) as (url, seen), critic(url, learnt) as one:
        with pytest.raises(GiveUp):
            await one.ask(QUESTION)
    assert len(seen) <= 8
    assert learnt == []


KEY = "sk-secret-0123456789abcdef"


@pytest.mark.parametrize("padding", range(90, 131, 8))
@pytest.mark.parametrize(
    "make",
    [
        lambda pad: reply(dumps({"error": {"message": "x" * (pad + 170) + KEY}}), status=400),
        lambda pad: reply(b"x" * (pad - 10) + KEY.encode(), status=401),
        lambda pad: reply(b"x" * (pad - 10) + KEY.encode()),
        lambda pad: reply(dumps({"error": {"message": "z" * pad + KEY}}), status=429),
        lambda pad: reply(gzip.compress(b"x" * (pad - 10) + KEY.encode()), "Content-Encoding: gzip", status=503),
        lambda pad: refusing("'temperature' " + "x" * (pad + 80) + KEY),
    ],
    ids=["400", "401", "200", "429", "503", "feature"],
)
async def test_no_error_shows_even_a_part_of_the_key(make: Callable[[int], bytes], padding: int) -> None:
    async with serving(make(padding)) as (url, seen), critic(url, KEY=KEY) as one:
        with pytest.raises((GiveUp, CriticGone, Hiccup, Busy)) as caught:
            await one.ask(QUESTION)
    assert KEY.encode() in seen[0]
    assert KEY[:8] not in str(caught.value)


async def test_a_reply_does_not_hold_the_key_either() -> None:
    escaped = dumps(
        {"choices": [{"message": {"content": "KEY", "reasoning": KEY, "refusal": KEY}}], "model": KEY}
    ).replace(b'"KEY"', b'"sk\\u002dsecret-0123456789abcdef"')
    async with serving(reply(escaped)) as (url, _), critic(url, KEY=KEY) as one:
        answer = await one.ask(QUESTION)
    assert (answer.content, answer.reasoning, answer.refusal, answer.model) == ("***", "***", "***", "***")


async def test_a_redirect_is_not_followed() -> None:
    async with serving(reply(ANSWER)) as (other, stolen):
        async with serving(reply(b"", f"Location: {other}/", status=307)) as (url, _), critic(url, KEY=KEY) as one:
            with pytest.raises(CriticGone, match="redirects"):
                await one.ask(QUESTION)
        assert stolen == []
        async with (
            serving(reply(ANSWER), reply(b"", f"Location: {other}/", status=302)) as (url, _),
            critic(url, KEY=KEY) as one,
        ):
            await one.ask(QUESTION)
            with pytest.raises(Hiccup, match="redirects"):
                await one.ask(QUESTION)
        assert stolen == []


async def test_refused_credentials_say_where_they_went() -> None:
    async with serving(reply(b"no", status=401)) as (url, _), critic(url) as one:
        with pytest.raises(CriticGone, match=f"Sent to {url}: no key was sent"):
            await one.ask(QUESTION)


async def test_numbers_of_any_size_can_be_sent() -> None:
    async with serving(reply(ANSWER)) as (url, seen):
        async with EndpointCritic(
            resolve(EndpointSettings("vllm/m", base_url=url), {}), ChatParameters("m", 0.0, 10, "", {"seed": 2**80}), timeout_s=5, connections=1,
            features=Features(), on_learnt=lambda _features, _said: None,
        ) as one:  # fmt: skip
            await one.ask(QUESTION)
        assert b'"seed":1208925819614629174706176' in seen[0]


def test_all_errors_are_ours() -> None:
    assert issubclass(Away, AifeedbackError)


@pytest.mark.parametrize("path", ["/v1\x01", "/v1\x7f", "/" + "x" * 70_000])
def test_an_address_that_no_request_can_carry_is_a_setting_to_mend(path: str) -> None:
    with pytest.raises(SettingsError, match="--base-url"):
        Http(f"http://host{path}", {}, connections=1)


def test_a_proxy_that_refuses_is_named_without_its_password() -> None:
    request = SimpleNamespace(real_url=URL("http://bob:hunter2secret@proxy:1"))
    refused = aiohttp.ClientHttpProxyError(
        cast("Any", request), (), status=407, message="Proxy Authentication Required"
    )
    assert str(mishaps.named(refused)) == "the proxy refuses: 407 Proxy Authentication Required"
