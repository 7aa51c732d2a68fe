"""The whole command against an endpoint whose TLS is wrong: one clear line, exit 2, and nothing is asked or written."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme

from aifeedback.testing import Server, StartServer
from tests.conftest import Command, Ended, some_pairs, write_lines

KEY = "sk-0123456789abcdef"


class Certified:
    """A server with a certificate of an authority that only those trust who name its file."""

    def __init__(self, folder: Path, start: StartServer, *names: str) -> None:
        authority = trustme.CA()
        self.trust = folder / "authority.pem"
        authority.cert_pem.write_to_path(str(self.trust))
        certificate = folder / "server.pem"
        authority.issue_cert(*names).private_key_and_cert_chain_pem.write_to_path(str(certificate))
        self.server: Server = start(certificate=certificate)


@pytest.fixture
def certified(tmp_path: Path, critic_server: StartServer) -> Certified:
    return Certified(tmp_path, critic_server, "127.0.0.1")


def label(aifeedback: Command, folder: Path, url: str, *more: object, trust: Path | None = None) -> Ended:
    write_lines(folder / "pairs.jsonl", some_pairs(3))
    (folder / "labels.jsonl").write_text("from an earlier run\n")
    env = {"MY_KEY": KEY} | ({"SSL_CERT_FILE": str(trust)} if trust else {})
    return aifeedback(
        "label", "pairs.jsonl", "--critic", "vllm/m", "--base-url", url, "--api-key-env", "MY_KEY", "-o", "labels.jsonl", "--retries", 1, *more,
        env=env,
    )  # fmt: skip


def refused_at_once(ended: Ended, folder: Path, *said: str) -> None:
    """One line, exit 2, and the old output stays."""
    assert ended.code == 2, ended.err
    (line,) = ended.err.strip().splitlines()
    assert all(word in line for word in said), line
    assert (folder / "labels.jsonl").read_text() == "from an earlier run\n"
    assert not list(folder.glob(".*.partial"))


def test_a_certificate_that_nobody_vouches_for_ends_the_run_before_the_key_is_sent(
    aifeedback: Command, tmp_path: Path, certified: Certified
) -> None:
    refused_at_once(
        label(aifeedback, tmp_path, certified.server.url), tmp_path, "certificate can't be trusted", "SSL_CERT_FILE"
    )
    assert certified.server.stats()["requests"] == 0


def test_a_certificate_of_another_host_ends_the_run_before_the_key_is_sent(
    aifeedback: Command, tmp_path: Path, critic_server: StartServer
) -> None:
    other = Certified(tmp_path, critic_server, "elsewhere.example")
    refused_at_once(
        label(aifeedback, tmp_path, other.server.url, trust=other.trust), tmp_path, "certificate", "127.0.0.1"
    )
    assert other.server.stats()["requests"] == 0


def test_a_certificate_of_ones_own_is_trusted_once_its_authority_is_named(
    aifeedback: Command, tmp_path: Path, certified: Certified
) -> None:
    ended = label(aifeedback, tmp_path, certified.server.url, trust=certified.trust)
    assert ended.code == 0, ended.err
    assert certified.server.stats()["answered"] == 6


def test_https_where_no_tls_is_spoken_says_so_and_leaves_the_old_output(
    aifeedback: Command, tmp_path: Path, critic_server: StartServer
) -> None:
    url = critic_server().url.replace("http:", "https:")
    refused_at_once(label(aifeedback, tmp_path, url), tmp_path, "no TLS is spoken", "http://")


@contextmanager
def answering_in_the_clear(wire: bytes) -> Iterator[str]:
    """A TLS port as some servers keep it: it tells who speaks plain HTTP that TLS is wanted."""
    loop = asyncio.new_event_loop()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        writer.write(wire)
        writer.close()

    server = loop.run_until_complete(asyncio.start_server(handle, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        loop.close()


@pytest.mark.parametrize(
    "wire",
    [
        b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n",
        b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n<html>The plain HTTP request was sent to HTTPS port</html>",
    ],
    ids=["as Go says it", "as nginx says it"],
)
def test_plain_http_where_tls_is_wanted_says_so_and_leaves_the_old_output(
    aifeedback: Command, tmp_path: Path, wire: bytes
) -> None:
    with answering_in_the_clear(wire) as url:
        refused_at_once(label(aifeedback, tmp_path, url), tmp_path, "speaks TLS", "https://")


def test_plain_http_to_a_tls_port_that_only_hangs_up_labels_nothing_and_gives_a_hint(
    aifeedback: Command, tmp_path: Path, certified: Certified
) -> None:
    ended = label(aifeedback, tmp_path, certified.server.url.replace("https:", "http:"))
    assert ended.code == 1, ended.err
    assert "Should --base-url begin with https://?" in ended.err
    assert (tmp_path / "labels.jsonl").read_text() == ""
    assert certified.server.stats()["requests"] == 0


def test_an_endpoint_whose_certificate_goes_bad_in_the_middle_leaves_what_was_labelled(
    aifeedback: Command, tmp_path: Path, certified: Certified, critic_server: StartServer
) -> None:
    first = label(aifeedback, tmp_path, certified.server.url, "--limit", 1, trust=certified.trust)
    assert first.code == 0, first.err
    labelled = (tmp_path / "labels.jsonl").read_text() + (tmp_path / "labels.rest.jsonl").read_text()
    ended = label(aifeedback, tmp_path, certified.server.url)
    assert ended.code == 5, ended.err
    assert "certificate can't be trusted" in ended.err
    written = (tmp_path / "labels.jsonl").read_text() + (tmp_path / "labels.rest.jsonl").read_text()
    assert labelled.strip() in written
