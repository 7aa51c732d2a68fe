"""`--replay`: labels again from the store alone, byte for byte, or the names of what is missing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import aifeedback as af
from aifeedback.api import Options
from aifeedback.errors import MissingReplies, SettingsError, StoreError
from aifeedback.job import run_job
from aifeedback.keys import Asked, Keys
from aifeedback.missing import Missing
from aifeedback.reconcile import reconcile
from aifeedback.records import Invalid, Message, Order, Pair, Question, Reply, Verdict
from aifeedback.replies import Replies
from aifeedback.settings import ReconcileSettings
from aifeedback.store import Store
from aifeedback.testing import ScriptedCritic, Server, StartServer
from aifeedback.verdicts import write_answer
from tests.conftest import Command, clean_environment, some_pairs, write_lines
from tests.test_resume import wait_until

STORE = Path(".aifeedback/replies.sqlite")
OUTPUTS = ("labels.jsonl", "labels.rest.jsonl")


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below `folder` and what is in it."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def panel(server: Server) -> list[str]:
    """Two critics that often differ, each asked twice in both orders, and a third one where they do."""
    return [
        "label", "pairs.jsonl", "--critic", "builtin", "--critic", "vllm/m", "--on-conflict", "escalate", "--escalate-to", "vllm/strong",
        "--panel", "majority", "--samples", "2", "--base-url", server.url, "--api-key-env", "MY_KEY", "-o", "labels.jsonl",
    ]  # fmt: skip


def test_a_replay_writes_the_same_bytes_without_the_endpoint_and_without_the_key(
    aifeedback: Command, critic_server: StartServer, tmp_path: Path
) -> None:
    pairs: list[Any] = some_pairs(30, gold="b")
    pairs[3:3] = [pairs[0], {"prompt": "?", "response_a": "same", "response_b": "same"}, {"prompt": "no responses"}]
    write_lines(tmp_path / "pairs.jsonl", pairs)
    server = critic_server(
        faults=["429:0.1:0", "500:0.1", "reset-inside:0.05", "length:0.1", "ignore-schema:0.2", "think:0.2"],
        attempts=2,
    )  # fmt: skip
    asked = aifeedback(*panel(server), "--summary", "asked.json", "--max-failed", "50%", env={"MY_KEY": "secret"})
    assert asked.code == 0, asked.err
    before = json.loads((tmp_path / "asked.json").read_text())
    assert before["escalation"]["asked"] > 5
    server.stop()
    wrote = {name: (tmp_path / name).read_bytes() for name in OUTPUTS}
    store = (tmp_path / STORE).read_bytes()
    for name in OUTPUTS:
        (tmp_path / name).unlink()
    again = aifeedback(*panel(server), "--summary", "again.json", "--replay", "--max-failed", "50%")
    assert again.code == 0, again.err
    assert {name: (tmp_path / name).read_bytes() for name in OUTPUTS} == wrote
    assert (tmp_path / STORE).read_bytes() == store
    assert [path.name for path in (tmp_path / STORE).parent.iterdir()] == ["replies.sqlite"]
    after = json.loads((tmp_path / "again.json").read_text())
    assert (after["requests"]["sent"], after["requests"]["retried"]) == (0, 0)
    assert after["requests"]["from_store"] == before["escalation"]["asked"] * 4 + 31 * 2 * 4
    changed = {"requests", "tokens", "seconds", "cost_usd", "cost_unsure_usd", "critics", "escalation"}
    assert {key: value for key, value in after.items() if key not in changed} == {
        key: value for key, value in before.items() if key not in changed
    }
    # Another way to read and write the same replies asks nobody either.
    other = aifeedback(
        *panel(server)[:-1], "-", "--replay", "--limit", "20", "--soft", "off", "--explain", "full", "--min-preference", "0.6",
        "--max-longer-rate", "100%", "--max-failed", "1", "-q",
    )  # fmt: skip
    assert other.code == 0, other.err
    assert 0 < len(other.rows) <= 20


def test_a_replay_names_what_a_killed_run_did_not_get_and_writes_nothing(
    aifeedback: Command, critic_server: StartServer, tmp_path: Path
) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(60))
    server = critic_server(faults=["latency:1:0.05"])
    flags = ("label", "pairs.jsonl", "--critic", "vllm/m", "--base-url", server.url, "--concurrency", "4")
    run = subprocess.Popen(
        [sys.executable, "-m", "aifeedback", *flags, "-o", "labels.jsonl", "-q"],
        cwd=tmp_path, env=clean_environment(HOME=str(tmp_path)),
    )  # fmt: skip
    wait_until(server, 70)
    run.send_signal(signal.SIGKILL)
    run.wait()
    server.stop()
    (tmp_path / "labels.jsonl").write_text("from an earlier run\n")
    (tmp_path / ".labels.jsonl.partial").unlink(missing_ok=True)
    assert (tmp_path / f"{STORE}-wal").stat().st_size
    with closing(sqlite3.connect(f"{(tmp_path / STORE).as_uri()}?mode=ro", uri=True)) as opened:
        count = opened.execute("SELECT count(*) FROM replies").fetchone()[0]
    before = contents(tmp_path)
    for output in ("labels.jsonl", "-"):
        ended = aifeedback(*flags, "-o", output, "--rest", "rest.jsonl", "--summary", "s.json", "--replay")
        assert (ended.code, ended.out) == (2, "")
        assert (
            f"Error: {120 - count} of 120 questions have no reply in .aifeedback/replies.sqlite: pairs.jsonl, line "
            in ended.err
        )
        assert f"sample 0; and {120 - count - 3} more. Nothing was written." in ended.err
        assert "aifeedback store explain" in ended.err
        assert "without --replay" in ended.err
    after = contents(tmp_path)
    after.pop(f"{STORE}-shm")
    before.pop(f"{STORE}-shm")  # SQLite's own index of the journal, and no part of the store
    assert after == before
    planned = aifeedback(*flags, "--replay", "--dry-run")
    assert planned.out.startswith(f"replay      {120 - count} of these replies are missing")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--no-store"], "a replay takes its replies from the store"),
        (["--reask", "unparsed"], "--replay asks nobody, and --reask asks again"),
        (["--store", "elsewhere/replies.sqlite"], "elsewhere/replies.sqlite: no store there."),
        (["--store", "elsewhere/replies.sqlite", "--dry-run"], "elsewhere/replies.sqlite: no store there."),
        (["--store", "pairs.jsonl"], "--store pairs.jsonl is also the input"),
        (["--store", "text"], "text is no usable store"),
    ],
)
def test_what_contradicts_a_replay_is_exit_2_and_leaves_nothing_behind(
    aifeedback: Command, tmp_path: Path, flags: list[str], said: str
) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(2))
    (tmp_path / "text").write_text("no store " * 1000)
    before = contents(tmp_path)
    ended = aifeedback("label", "pairs.jsonl", "--critic", "openai/m", "--replay", "-o", "labels.jsonl", *flags)
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert said in ended.err
    assert contents(tmp_path) == before


class NoKeys(Mapping[str, str]):
    """An environment in which nobody may look for a key."""

    looked: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.looked.add(name)
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        raise AssertionError("somebody looks through the environment")

    def __len__(self) -> int:
        return 1


async def test_a_replay_looks_at_no_key_and_opens_no_connection(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    store = tmp_path / "replies.sqlite"
    write_lines(tmp_path / "pairs.jsonl", some_pairs(3))
    options: dict[str, Any] = {"store": store, "critic": ["openai/m", "anthropic/n"], "replay": True}
    job = Options(**options).job([str(tmp_path / "pairs.jsonl")], str(tmp_path / "labels.jsonl"))
    with closing(Store(store)):
        pass

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("somebody connects")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("asyncio.base_events.BaseEventLoop.create_connection", refuse)
    environment = NoKeys()
    with pytest.raises(MissingReplies, match="12 of 12 questions have no reply"):
        await run_job(job, environment=environment)
    assert "OPENAI_API_KEY" not in environment.looked
    assert "ANTHROPIC_API_KEY" not in environment.looked


def test_the_library_replays_too_and_tells_after_the_last_outcome_what_was_missing(tmp_path: Path) -> None:
    store = tmp_path / "replies.sqlite"
    critic = ScriptedCritic(
        lambda question: write_answer(question.format, "second" if question.order is Order.AB else "first", "so"),
        name="fair",
    )
    options: dict[str, Any] = {"critic": critic, "store": store}
    labels = list(af.label(some_pairs(20), **options))
    asked = len(critic.questions)
    assert list(af.label(some_pairs(20), **options, replay=True)) == labels
    replayed = af.label(some_pairs(21), **options, replay=True)
    got = [next(replayed) for _ in range(21)]
    assert got[:20] == labels
    assert (got[20].status, got[20].winner) == (af.Status.UNASKED, None)
    with pytest.raises(
        MissingReplies, match=r"2 of 42 questions have no reply in .*: line 21, 20, order ab, fair, sample 0; "
    ):
        next(replayed)
    write_lines(tmp_path / "pairs.jsonl", some_pairs(21))
    with pytest.raises(MissingReplies, match="2 of 42"):
        af.label_file(str(tmp_path / "pairs.jsonl"), str(tmp_path / "labels.jsonl"), **options, replay=True)
    assert not (tmp_path / "labels.jsonl").exists()
    assert len(critic.questions) == asked
    with pytest.raises(SettingsError, match="from the store"):
        af.label([], critic=critic, replay=True)


def test_soft_labels_come_out_of_a_replay_as_they_went_in(critic_server: StartServer, tmp_path: Path) -> None:
    server = critic_server(logprobs="A:0.62,B:0.34,C:0.04")
    write_lines(tmp_path / "pairs.jsonl", some_pairs(5))
    options: dict[str, Any] = {
        "critic": "vllm/m",
        "base_url": server.url,
        "store": tmp_path / "s.sqlite",
        "on_conflict": "soft",
    }
    for number, replay in enumerate((False, True)):
        af.label_file(str(tmp_path / "pairs.jsonl"), str(tmp_path / f"{number}.jsonl"), **options, replay=replay)
        server.stop()
    for name in ("{}.jsonl", "{}.rest.jsonl"):
        assert (tmp_path / name.format(0)).read_bytes() == (tmp_path / name.format(1)).read_bytes()
    assert b'"soft":true' in (tmp_path / "1.rest.jsonl").read_bytes()


QUESTION = Question((Message("user", "?"),), None, Pair("1", "?", "a", "b"), Order.AB)  # type: ignore[arg-type] # it is not read


def filled(path: Path, *, finished: bool = True) -> Asked:
    """A store with one reply; unless `finished` as a killed process leaves it."""
    asked = Asked("here", "m", {}, {})
    store = Store(path)
    store.put([(Keys(asked).key(QUESTION), asked, Reply("A", finish_reason="stop"))])
    if not finished:
        kept = {each: each.read_bytes() for each in path.parent.glob(f"{path.name}*")}
    store.close()
    if not finished:
        for each, data in kept.items():
            each.write_bytes(data)
    return asked


@pytest.mark.parametrize("finished", [True, False], ids=["finished", "killed"])
@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="only root can mount")
def test_a_store_on_a_disk_that_can_not_be_written_is_read_also_where_a_run_was_killed(
    tmp_path: Path, finished: bool
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "aifeedback-test", str(disk)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        path = disk / "replies.sqlite"
        asked = filled(path, finished=finished)
        (disk / "replies.sqlite-shm").unlink(missing_ok=True)
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        with closing(Replies(path)) as replies:
            assert [reply.content for reply in replies.find([Keys(asked).key(QUESTION)]).values()] == ["A"]
        assert len(list(disk.iterdir())) == (1 if finished else 2)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_store_is_read_while_a_run_fills_it_and_a_change_that_can_not_be_seen_is_told(tmp_path: Path) -> None:
    path = tmp_path / "replies.sqlite"
    asked = filled(path)
    path.chmod(0o444)
    key = Keys(asked).key(QUESTION)
    with closing(Replies(path)) as replies:
        assert replies.find([key])
        assert [each.name for each in tmp_path.iterdir()] == [path.name]
        os.utime(path, ns=(1, 1))
        with pytest.raises(StoreError, match="was changed by another run meanwhile"):
            replies.find([key])
    with closing(Store(path)) as running, closing(Replies(path)) as replies:
        second = Keys(Asked("there", "m", {}, {}))
        assert not replies.find([second.key(QUESTION)])
        running.put([(second.key(QUESTION), Asked("there", "m", {}, {}), Reply("B", finish_reason="stop"))])
        assert replies.find([second.key(QUESTION)])


def test_the_first_that_are_missing_are_named_in_input_order_whatever_order_they_come_in() -> None:
    missing = Missing()
    missing.check("s")
    for position in (7, 2, 9, 4, 0):
        pair = Pair(f"p{position}", "?", "a", "b", file="f.jsonl", line=position + 1)
        silent = [Verdict("c", order, 0, None, status=af.Status.UNASKED, why="gone") for order in Order]
        missing.add(position, reconcile(pair, silent, ReconcileSettings()))
    missing.add(1, Invalid("f.jsonl", 2, "", "bad"))
    with pytest.raises(MissingReplies) as said:
        missing.check("s")
    assert str(said.value).startswith(
        "10 of 10 questions have no reply in s: f.jsonl, line 1, p0, order ab, c, sample 0; "
        "f.jsonl, line 1, p0, order ba, c, sample 0; f.jsonl, line 3, p2, order ab, c, sample 0; and 7 more."
    )
