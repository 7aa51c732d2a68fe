"""A store that is damaged, foreign, locked or gone: nothing is deleted, what can be read is used, and the run ends well."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from aifeedback.testing import Server, StartServer
from tests.conftest import clean_environment, some_pairs, write_lines
from tests.test_resume import command, start, stored, wait_until

PAIRS = some_pairs(100)
QUESTIONS = 2 * len(PAIRS)
PAGE = 4096


def run(folder: Path, server: Server, *more: str) -> tuple[int, str]:
    """The labelling run, its exit code and what it said on stderr."""
    loud = [word for word in command(server, *more) if word != "-q"]
    ended = subprocess.run(
        loud, cwd=folder, env=clean_environment(HOME=str(folder)), capture_output=True, text=True, timeout=120
    )
    assert "Traceback" not in ended.stderr
    return ended.returncode, ended.stderr


def notes(said: str) -> list[str]:
    return [line for line in said.splitlines() if line.startswith("Note:")]


def written(folder: Path) -> tuple[bytes, bytes]:
    return (folder / "labels.jsonl").read_bytes(), (folder / "labels.rest.jsonl").read_bytes()


def store_of(folder: Path) -> Path:
    return folder / ".aifeedback" / "replies.sqlite"


@pytest.fixture
def server(critic_server: StartServer) -> Server:
    return critic_server()


@pytest.fixture
def labelled(tmp_path: Path, server: Server) -> tuple[bytes, bytes]:
    """What a first run wrote; its store is there."""
    write_lines(tmp_path / "pairs.jsonl", PAIRS)
    assert run(tmp_path, server)[0] == 0
    return written(tmp_path)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def garbage_in_the_middle(path: Path) -> None:
    content = bytearray(path.read_bytes())
    middle = len(content) // PAGE // 2 * PAGE
    content[middle : middle + PAGE] = b"\xa5" * PAGE
    path.write_bytes(content)


def no_header(path: Path) -> None:
    path.write_bytes(b"\xa5" * 100 + path.read_bytes()[100:])


def another_version(path: Path) -> None:
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("PRAGMA user_version = 99")


def foreign(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("CREATE TABLE customers (name TEXT)")
        raw.commit()


def text(path: Path) -> None:
    path.write_text("dear diary\n" * 1000)


@pytest.mark.parametrize("spoil", [no_header, another_version, foreign, text])
def test_a_file_that_is_no_store_is_set_aside_untouched_and_all_pairs_are_labelled_again(
    tmp_path: Path, server: Server, labelled: tuple[bytes, bytes], spoil: Callable[[Path], None]
) -> None:
    spoil(store_of(tmp_path))
    content = store_of(tmp_path).read_bytes()
    server.reset()
    code, said = run(tmp_path, server)
    assert (code, written(tmp_path)) == (0, labelled), said
    note, *others = notes(said)
    assert all("log probabilities" in other for other in others), "asked anew, it is found out anew"
    assert "set aside as replies.sqlite.aside-1" in note
    assert store_of(tmp_path).with_name("replies.sqlite.aside-1").read_bytes() == content
    assert (server.stats()["requests"], stored(tmp_path)) == (QUESTIONS, QUESTIONS)


@pytest.mark.parametrize("spoil", [truncated, garbage_in_the_middle])
def test_damage_that_is_found_while_replies_are_looked_up_costs_only_what_can_not_be_read(
    tmp_path: Path, server: Server, labelled: tuple[bytes, bytes], spoil: Callable[[Path], None]
) -> None:
    spoil(store_of(tmp_path))
    server.reset()
    code, said = run(tmp_path, server)
    assert (code, written(tmp_path)) == (0, labelled), said
    (note,) = notes(said)
    assert "replies that could be read" in note
    assert "set aside as replies.sqlite.aside-1" in note
    assert store_of(tmp_path).with_name("replies.sqlite.aside-1").exists()
    assert 0 < server.stats()["requests"] < QUESTIONS * 0.9
    assert stored(tmp_path) == QUESTIONS
    server.reset()
    assert run(tmp_path, server)[0] == 0
    assert server.stats()["requests"] == 0


def test_damage_that_is_found_while_replies_are_written_stops_nothing_and_loses_no_new_reply(
    tmp_path: Path, server: Server, labelled: tuple[bytes, bytes]
) -> None:
    garbage_in_the_middle(store_of(tmp_path))
    write_lines(tmp_path / "pairs.jsonl", [pair | {"prompt": f"{pair['prompt']} Please."} for pair in PAIRS])
    code, said = run(tmp_path, server)
    assert (code, len(notes(said))) == (0, 1), said
    new = written(tmp_path)
    server.reset()
    assert run(tmp_path, server)[0] == 0
    assert (server.stats()["requests"], written(tmp_path)) == (0, new)
    write_lines(tmp_path / "pairs.jsonl", PAIRS)
    assert run(tmp_path, server)[0] == 0
    assert server.stats()["requests"] < QUESTIONS * 0.9, "what was paid for before the damage is still there"
    assert written(tmp_path) == labelled


@pytest.mark.parametrize("tear", ["cut", "garbage"])
def test_a_log_that_a_crash_has_torn_costs_only_what_it_had_not_written(
    tmp_path: Path, server: Server, labelled: tuple[bytes, bytes], tear: str
) -> None:
    shutil.rmtree(tmp_path / ".aifeedback")
    server.faults("latency:0.05")
    process = start(tmp_path, server)
    while stored_in_log(tmp_path) < 3:
        time.sleep(0.01)
    process.kill()
    process.communicate()
    log = store_of(tmp_path).with_name("replies.sqlite-wal")
    content = log.read_bytes()
    torn = content[:-1000] if tear == "cut" else content[:-1000] + b"\xa5" * 1000
    log.write_bytes(torn)
    server.faults()
    code, said = run(tmp_path, server)
    assert (code, written(tmp_path), stored(tmp_path)) == (0, labelled, QUESTIONS), said


def stored_in_log(folder: Path) -> int:
    """How many transactions the log holds, roughly: by its commit marks."""
    log = store_of(folder).with_name("replies.sqlite-wal")
    content = log.read_bytes() if log.exists() else b""
    heads = (content[at : at + 8] for at in range(32, len(content) - 24, 24 + PAGE))
    return sum(struct.unpack(">II", head)[1] > 0 for head in heads)


def test_two_runs_that_find_the_same_damage_both_end_with_the_same_labels(
    tmp_path: Path, server: Server, labelled: tuple[bytes, bytes]
) -> None:
    garbage_in_the_middle(store_of(tmp_path))
    server.faults("latency:0.02")
    other = tmp_path / "other"
    other.mkdir()
    write_lines(other / "pairs.jsonl", PAIRS)
    shared = ("--store", str(store_of(tmp_path)))
    runs = [start(folder, server, *shared) for folder in (tmp_path, other)]
    assert [one.wait(120) for one in runs] == [0, 0], [one.communicate() for one in runs]
    assert written(tmp_path) == written(other) == labelled
    server.reset()
    assert run(tmp_path, server)[0] == 0
    assert server.stats()["requests"] == 0


HOLDING = """
import sqlite3, sys
store = sqlite3.connect(sys.argv[1], isolation_level=None)
store.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


def holding(store: Path) -> subprocess.Popen[bytes]:
    """A process that keeps the store to itself until its stdin closes."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(store)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    return process


def test_a_store_that_another_program_keeps_to_itself_for_long_is_waited_for_and_every_reply_is_kept(
    tmp_path: Path, server: Server, labelled: tuple[bytes, bytes]
) -> None:
    write_lines(tmp_path / "pairs.jsonl", [pair | {"prompt": f"{pair['prompt']} Please."} for pair in PAIRS])
    server.reset()
    busy = holding(store_of(tmp_path))
    process = start(tmp_path, server)
    wait_until(server, QUESTIONS)
    time.sleep(3)
    assert process.poll() is None
    busy.communicate(b"")
    assert process.wait(60) == 0
    process.communicate()
    assert stored(tmp_path) == 2 * QUESTIONS


def test_a_second_interrupt_ends_a_run_at_once_that_waits_to_write_and_the_same_command_resumes(
    tmp_path: Path, server: Server, labelled: tuple[bytes, bytes]
) -> None:
    shutil.copy(tmp_path / "labels.jsonl", tmp_path / "before.jsonl")
    write_lines(tmp_path / "pairs.jsonl", [pair | {"prompt": f"{pair['prompt']} Please."} for pair in PAIRS])
    server.reset()
    server.faults("latency:0.05")
    busy = holding(store_of(tmp_path))
    process = start(tmp_path, server)
    wait_until(server, 50)
    for _ in range(200):
        process.send_signal(signal.SIGINT)
        time.sleep(0.1)
        if process.poll() is not None:
            break
    assert process.wait(1) == 130
    assert b"Traceback" not in process.communicate()[1]
    assert (tmp_path / "labels.jsonl").read_bytes() == (tmp_path / "before.jsonl").read_bytes()
    busy.communicate(b"")
    assert run(tmp_path, server)[0] == 0
    assert stored(tmp_path) == 2 * QUESTIONS
    assert not list(tmp_path.glob(".*.partial"))


@pytest.mark.parametrize("whole", [True, False], ids=["with its folder", "alone"])
def test_a_store_that_is_removed_in_mid_run_comes_back_with_every_reply_that_it_held(
    tmp_path: Path, server: Server, labelled: tuple[bytes, bytes], whole: bool
) -> None:
    shutil.rmtree(tmp_path / ".aifeedback")
    server.reset()
    server.faults("latency:0.1")
    process = start(tmp_path, server)
    wait_until(server, QUESTIONS // 2)
    if whole:
        shutil.rmtree(tmp_path / ".aifeedback")
    else:
        store_of(tmp_path).unlink()
    assert process.wait(60) == 0
    process.communicate()
    assert (written(tmp_path), stored(tmp_path)) == (labelled, QUESTIONS)
    server.reset()
    code, said = run(tmp_path, server)
    assert (code, server.stats()["requests"]) == (0, 0), said


def test_a_removed_store_that_another_run_has_begun_anew_takes_in_what_the_first_one_knew(
    tmp_path: Path, server: Server, labelled: tuple[bytes, bytes]
) -> None:
    shutil.rmtree(tmp_path / ".aifeedback")
    server.reset()
    server.faults("latency:0.1")
    process = start(tmp_path, server)
    wait_until(server, QUESTIONS // 2)
    process.send_signal(signal.SIGSTOP)
    shutil.rmtree(tmp_path / ".aifeedback")
    other = tmp_path / "other"
    other.mkdir()
    write_lines(other / "pairs.jsonl", some_pairs(3, meta="other"))
    assert run(other, server, "--store", str(store_of(tmp_path)))[0] == 0
    process.send_signal(signal.SIGCONT)
    assert process.wait(60) == 0
    process.communicate()
    assert (written(tmp_path), stored(tmp_path)) == (labelled, QUESTIONS)
