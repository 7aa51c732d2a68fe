"""Killed, interrupted, started again: what was answered is never asked again, and the output is the same."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from aifeedback.store import Store
from aifeedback.testing import Server, StartServer
from tests.conftest import clean_environment, read_lines, some_pairs, write_lines

KILLS = 12
COMMIT_WINDOW = 500  # replies at most between two commits


def command(server: Server, *more: str) -> list[str]:
    return [
        sys.executable, "-m", "aifeedback", "label", "pairs.jsonl", "--critic", "vllm/m", "--base-url", server.url,
        "-o", "labels.jsonl", "--summary", "summary.json", "--concurrency", "16", "-q", *more,
    ]  # fmt: skip


def start(folder: Path, server: Server, *more: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command(server, *more), cwd=folder, env=clean_environment(HOME=str(folder)), stderr=subprocess.PIPE
    )


def stored(folder: Path) -> int:
    path = folder / ".aifeedback" / "replies.sqlite"
    if not path.exists():
        return 0
    store = Store(path)
    count = len(list(store.rows()))
    store.close()
    return count


def wait_until(server: Server, requests: int) -> None:
    for _ in range(6000):
        if server.stats()["requests"] >= requests:
            return
        time.sleep(0.01)
    pytest.fail(f"fewer than {requests} requests came")


@pytest.fixture
def unkilled(tmp_path_factory: pytest.TempPathFactory, critic_server: StartServer) -> tuple[bytes, bytes]:
    """The labels and the rest of a run that nothing happened to."""
    folder = tmp_path_factory.mktemp("unkilled")
    write_lines(folder / "pairs.jsonl", some_pairs(200))
    assert start(folder, critic_server()).wait(120) == 0
    return (folder / "labels.jsonl").read_bytes(), (folder / "labels.rest.jsonl").read_bytes()


@pytest.mark.slow
def test_a_run_killed_at_any_moment_goes_on_and_ends_with_the_same_bytes(
    tmp_path_factory: pytest.TempPathFactory, critic_server: StartServer, unkilled: tuple[bytes, bytes]
) -> None:
    generator = random.Random(7)
    server = critic_server(faults=["latency:1:0.03", "jitter:1:0.02"])
    for kill in range(KILLS):
        folder = tmp_path_factory.mktemp(f"kill{kill}")
        write_lines(folder / "pairs.jsonl", some_pairs(200))
        server.reset()
        server.faults("latency:1:0.03", "jitter:1:0.02")
        process = start(folder, server)
        wait_until(server, generator.randrange(1, 390))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stderr.close()  # type: ignore[union-attr] # it is piped
        assert not (folder / "labels.jsonl").exists()
        time.sleep(0.1)  # what was in flight arrives at the server
        kept, before = stored(folder), server.stats()
        assert before["requests"] - kept <= 16 + COMMIT_WINDOW
        again = start(folder, server)
        assert again.wait(120) == 0, again.stderr.read()  # type: ignore[union-attr]
        again.stderr.close()  # type: ignore[union-attr]
        assert server.stats()["requests"] - before["requests"] == 400 - kept
        assert ((folder / "labels.jsonl").read_bytes(), (folder / "labels.rest.jsonl").read_bytes()) == unkilled
        assert not list(folder.glob(".*.partial"))


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
    ids=["SIGINT", "SIGTERM", "SIGHUP"],
)
def test_an_interrupted_run_keeps_every_reply_and_leaves_no_half_output(
    tmp_path: Path, critic_server: StartServer, number: signal.Signals, code: int, unkilled: tuple[bytes, bytes]
) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(200))
    server = critic_server(faults=["latency:1:0.05"])
    process = start(tmp_path, server)
    wait_until(server, 100)
    process.send_signal(number)
    assert process.wait(30) == code
    assert process.stderr is not None
    said = process.stderr.read().decode()
    process.stderr.close()
    assert "The same command goes on" in said
    assert "Traceback" not in said
    assert sorted(path.name for path in tmp_path.iterdir()) == [".aifeedback", "pairs.jsonl"]
    kept, before = stored(tmp_path), server.stats()
    assert before["requests"] - kept <= 16  # only what was in flight
    assert start(tmp_path, server).wait(120) == 0
    assert server.stats()["requests"] - before["requests"] == 400 - kept
    assert ((tmp_path / "labels.jsonl").read_bytes(), (tmp_path / "labels.rest.jsonl").read_bytes()) == unkilled


def test_an_interrupt_ends_a_run_that_waits_for_a_silent_pipe(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "aifeedback", "label", "--critic", "builtin"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path, env=clean_environment(HOME=str(tmp_path)),
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(some_pairs(1)[0]).encode() + b"\n")
    process.stdin.flush()
    assert process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130
    process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=["SIGINT", "SIGTERM", "SIGHUP"])
@pytest.mark.parametrize("trouble", ["stall", "away", "429", "retries"])
def test_an_interrupt_is_heard_while_the_endpoint_gives_no_answer(
    tmp_path: Path, critic_server: StartServer, trouble: str, number: signal.Signals
) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(20))
    (tmp_path / "labels.jsonl").write_text("from an earlier run\n")
    server = critic_server()
    assert start(tmp_path, server, "--limit", "2", "-o", "first.jsonl").wait(60) == 0
    kept, before = stored(tmp_path), server.stats()["requests"]
    fault = {"stall": "stall", "away": "latency:0", "429": "429:1:60", "retries": "500"}[trouble]
    server.faults(fault, down_after=1 if trouble == "away" else 0)
    process = start(tmp_path, server, "--concurrency", "2")
    # Where the first is refused or finds nobody, no second one goes out.
    wait_until(server, before + (1 if trouble in {"away", "429"} else 2))
    time.sleep(0.5)
    process.send_signal(number)
    assert process.wait(30) == 128 + number
    assert b"Traceback" not in process.communicate()[1]
    assert (tmp_path / "labels.jsonl").read_text() == "from an earlier run\n"
    assert not list(tmp_path.glob(".*.partial"))
    assert kept <= stored(tmp_path) <= kept + 2  # what was on its way when the endpoint went
    assert "first.jsonl" in {path.name for path in tmp_path.iterdir()}


def test_an_interrupt_without_a_store_does_not_say_that_replies_are_kept(
    tmp_path: Path, critic_server: StartServer
) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(20))
    server = critic_server(faults=["stall"])
    process = start(tmp_path, server, "--no-store")
    wait_until(server, 1)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    assert b"no reply is kept" in process.communicate()[1]


def test_two_runs_may_share_a_store_and_pay_for_a_question_at_most_once_each(
    tmp_path: Path, critic_server: StartServer
) -> None:
    server = critic_server(faults=["latency:1:0.02"])
    folders = [tmp_path / name for name in ("one", "other")]
    for folder in folders:
        folder.mkdir()
        write_lines(folder / "pairs.jsonl", some_pairs(100))
    runs = [start(folder, server, "--store", str(tmp_path / "shared.sqlite")) for folder in folders]
    assert [run.wait(120) for run in runs] == [0, 0]
    one, other = ((folder / "labels.jsonl").read_bytes() for folder in folders)
    assert one == other
    assert 200 <= server.stats()["requests"] <= 400


def test_a_second_run_on_the_same_output_is_refused_while_the_first_writes_it(
    tmp_path: Path, critic_server: StartServer
) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(50))
    server = critic_server(faults=["latency:1:0.1"])
    first = start(tmp_path, server)
    wait_until(server, 1)
    second = subprocess.run(
        command(server),
        cwd=tmp_path,
        env=clean_environment(HOME=str(tmp_path)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert second.returncode == 2
    assert "another run" in second.stderr
    assert first.wait(120) == 0
    assert len(read_lines(tmp_path / "labels.jsonl")) + len(read_lines(tmp_path / "labels.rest.jsonl")) == 50


def test_what_could_not_be_read_is_kept_and_asked_again_only_on_request(
    tmp_path: Path, critic_server: StartServer
) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(5))
    (tmp_path / "script.jsonl").write_text(
        json.dumps({"match": "", "content": "I like them both in their own way."}) + "\n"
    )
    server = critic_server(script=tmp_path / "script.jsonl")
    allow = ("--max-failed", "100%")
    assert start(tmp_path, server, *allow).wait(60) == 0
    assert json.loads((tmp_path / "summary.json").read_text())["unparsed"] == 5
    asked = server.stats()["requests"]
    assert 20 < asked <= 30, "each on every rung"
    assert start(tmp_path, server, *allow).wait(60) == 0
    assert server.stats()["requests"] == asked
    assert start(tmp_path, server, "--reask", "unparsed", *allow).wait(60) == 0
    assert server.stats()["requests"] == asked + 10, "the last rung is where it stands now"


@pytest.mark.parametrize("fault", ["length", "filter", "empty", "null-content"])
def test_an_answer_that_is_none_is_not_kept_and_is_asked_again_by_the_next_run(
    tmp_path: Path, critic_server: StartServer, fault: str
) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(3))
    server = critic_server(faults=[fault])
    assert start(tmp_path, server, "--max-failed", "100%").wait(60) == 0
    assert read_lines(tmp_path / "labels.jsonl") == []
    assert stored(tmp_path) == 0
    server.faults()
    assert start(tmp_path, server).wait(60) == 0
    assert len(read_lines(tmp_path / "labels.jsonl")) == 3
