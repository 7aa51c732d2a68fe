"""A key goes to the endpoint that it is meant for, and nowhere else: not to the screen, not into a file, not to another host."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from aifeedback.testing import StartServer, key_mark
from tests.conftest import Command, Ended, some_pairs, write_lines

KEY = "sk-proj-Zk3-9fQ_do-not-show-4711"
PARTS = [KEY[start : start + 10] for start in range(len(KEY) - 9)]
OTHER_KEYS = {
    "OPENAI_API_KEY": "sk-openai-own-key-123456",
    "GEMINI_API_KEY": "gemini-own-key-123456",
    "OPENAI_ORG_ID": "org-of-mine-123456",
}


class Echo:
    """An endpoint that says back what it was sent, in whatever way `answer` makes of the headers."""

    def __init__(self, answer: Callable[[str], tuple[int, dict[str, str], bytes]]) -> None:
        self.seen: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                outer.seen.append(f"{self.path}\n{self.headers}")
                status, headers, body = answer(outer.seen[-1])
                self.send_response(status)
                for name, value in ({"Content-Length": str(len(body))} | headers).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def echo() -> Iterator[Callable[..., Echo]]:
    started: list[Echo] = []

    def start(answer: Callable[[str], tuple[int, dict[str, str], bytes]]) -> Echo:
        started.append(Echo(answer))
        return started[-1]

    yield start
    for one in started:
        one.stop()


def nowhere(folder: Path, ended: Ended, *parts: str) -> None:
    """See that no part of the key is on the screen, or in any file of the folder."""
    texts = {"stdout": ended.out.encode(), "stderr": ended.err.encode()}
    texts |= {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for name, text in texts.items():
        assert [part for part in parts or PARTS if part.encode() in text] == [], name


def said(text: str) -> bytes:
    verdict = json.dumps({"analysis": f"You sent {text}", "verdict": "A"})
    return json.dumps(
        {
            "model": text,
            "system_fingerprint": text,
            "choices": [{"finish_reason": "stop", "message": {"content": verdict, "reasoning_content": text}}],
        }
    ).encode()


ANSWERS: dict[str, Callable[[str], tuple[int, dict[str, str], bytes]]] = {
    "content": lambda seen: (200, {}, said(seen)),
    "401": lambda seen: (401, {}, json.dumps({"error": {"message": f"Incorrect API key: {seen}"}}).encode()),
    "400": lambda seen: (400, {}, json.dumps({"error": {"message": f"Bad: {seen}", "param": seen}}).encode()),
    "400 about a parameter": lambda seen: (
        400,
        {},
        json.dumps({"error": {"message": f"'temperature' {KEY}", "param": "temperature"}}).encode(),
    ),
    "500 page": lambda seen: (500, {}, f"<html><pre>{seen}</pre></html>".encode()),
    "429": lambda seen: (402, {"X-Echo": KEY}, seen.encode()),
    "200 page": lambda seen: (200, {}, seen.encode()),
    "redirect": lambda seen: (302, {"Location": f"http://127.0.0.1:9/?key={KEY}"}, seen.encode()),
    "odd header": lambda seen: (200, {"Content-Encoding": KEY}, b"x"),
    "odd length": lambda seen: (200, {"Content-Length": KEY}, b"x"),
}


@pytest.mark.parametrize("how", sorted(ANSWERS))
def test_a_key_that_the_endpoint_echoes_is_shown_and_kept_nowhere(
    aifeedback: Command, tmp_path: Path, echo: Callable[..., Echo], how: str
) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(2))
    server = echo(ANSWERS[how])
    for flags in (("--debug",), ("-v", "--log-json")):
        ended = aifeedback(
            "label", "pairs.jsonl", "--critic", "openai/m", "--base-url", server.url, "--api-key-env", "MINE", "--explain", "full", "--retries", 0,
            "-o", "out.jsonl", "--summary", "s.json", *flags, env={"MINE": KEY},
        )  # fmt: skip
        assert KEY in server.seen[0]
        nowhere(tmp_path, ended)


@pytest.mark.parametrize("flags", [("--debug",), ("-v",), ()])
def test_a_run_that_goes_well_keeps_no_key(
    aifeedback: Command, tmp_path: Path, critic_server: StartServer, flags: tuple[str, ...]
) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(2))
    server = critic_server()
    ended = aifeedback(
        "label", "pairs.jsonl", "--critic", "openai/m", "--base-url", server.url, "--api-key-env", "MINE", "-o", "out.jsonl", "--summary", "s.json", *flags,
        "--header", f"X-Api-Key: {KEY}", "--query", f"key={KEY}", "--extra-body", json.dumps({"api_key": KEY}), env={"MINE": KEY},
    )  # fmt: skip
    assert ended.code == 0, ended.err
    assert server.stats()["authorization"] == {key_mark(f"Bearer {KEY}"): 4}
    nowhere(tmp_path, ended)


@pytest.mark.parametrize("flags", [("--debug",), ()])
@pytest.mark.parametrize(
    "url",
    [
        f"http://ann:{KEY}@127.0.0.1:9/v1?key={KEY}",
        f"http://{KEY}@127.0.0.1:9/v1",
        f"http://127.0.0.1:99999/{KEY}",
        f"http://ann:{KEY}@exa mple/",
        f"http://ann:{KEY}@xn--a/v1",
    ],
)
def test_a_secret_in_an_address_that_can_not_be_reached_is_not_shown(
    aifeedback: Command, tmp_path: Path, url: str, flags: tuple[str, ...]
) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(1))
    ended = aifeedback("label", "pairs.jsonl", "--critic", "vllm/m", "--base-url", url, "--patience", "0s", *flags)
    assert ended.code != 0
    nowhere(tmp_path, ended)


def test_without_its_name_no_key_goes_to_another_host(
    aifeedback: Command, tmp_path: Path, echo: Callable[..., Echo]
) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(1))
    server = echo(ANSWERS["content"])
    for critic in ("openai/m", "gemini/m"):
        ended = aifeedback("label", "pairs.jsonl", "--critic", critic, "--base-url", server.url, env=OTHER_KEYS)
        assert ended.code == 0, ended.err
    assert len(server.seen) >= 2
    assert not any(key in seen for key in OTHER_KEYS.values() for seen in server.seen)


def test_openai_base_url_says_where_the_key_goes(
    aifeedback: Command, tmp_path: Path, echo: Callable[..., Echo]
) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(1))
    server = echo(ANSWERS["content"])
    ended = aifeedback("label", "pairs.jsonl", "--critic", "openai/m", env=OTHER_KEYS | {"OPENAI_BASE_URL": server.url})
    assert ended.code == 0, ended.err
    assert f"Authorization: Bearer {OTHER_KEYS['OPENAI_API_KEY']}".lower() in server.seen[0].lower()
    assert f"OpenAI-Organization: {OTHER_KEYS['OPENAI_ORG_ID']}".lower() in server.seen[0].lower()
    nowhere(tmp_path, ended, OTHER_KEYS["OPENAI_API_KEY"])


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_takes_the_key_nowhere(
    aifeedback: Command, tmp_path: Path, echo: Callable[..., Echo], status: int
) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(1))
    other = echo(ANSWERS["content"])
    server = echo(lambda _seen: (status, {"Location": other.url}, b""))
    ended = aifeedback(
        "label",
        "pairs.jsonl",
        "--critic",
        "openai/m",
        "--base-url",
        server.url,
        "--api-key-env",
        "MINE",
        env={"MINE": KEY},
    )
    assert ended.code == 2
    assert "redirect" in ended.err
    assert other.seen == []
    nowhere(tmp_path, ended)


def test_a_proxy_is_used_and_its_password_is_not_shown(
    aifeedback: Command, tmp_path: Path, echo: Callable[..., Echo]
) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(1))
    proxy = echo(ANSWERS["content"])
    through = proxy.url.removesuffix("/v1").replace("//", f"//ann:{KEY}@")
    common = (
        "label",
        "pairs.jsonl",
        "--critic",
        "vllm/m",
        "--base-url",
        "http://far-away.invalid/v1",
        "--patience",
        "0s",
        "--debug",
    )
    ended = aifeedback(*common, env={"HTTP_PROXY": through})
    assert ended.code == 0, ended.err
    assert proxy.seen[0].startswith("http://far-away.invalid/v1/chat/completions")
    nowhere(tmp_path, ended)
    asked = len(proxy.seen)
    ended = aifeedback(*common, "--no-store", env={"HTTP_PROXY": through, "NO_PROXY": "far-away.invalid"})
    assert ended.code != 0
    assert len(proxy.seen) == asked
    ended = aifeedback(*common, "--no-store", env={"HTTP_PROXY": f"http://ann:{KEY}@127.0.0.1:9"})
    assert ended.code != 0
    nowhere(tmp_path, ended)
