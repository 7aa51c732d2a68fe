"""Disks that are full, folders that can't be written or are gone: the old output stays, no reply is lost, and the same command goes on."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from aifeedback.testing import Server, StartServer
from tests.conftest import clean_environment, some_pairs, write_lines
from tests.test_resume import stored, wait_until

OLD = "from an earlier run\n"
NOT_ROOT = "only root can mount a small disk"


class Disk:
    """A small disk of its own, mounted at `path`, and how much room it has."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._filler = path / "filler"

    def leave(self, room: int) -> None:
        """Fill it up to so many bytes."""
        with self._filler.open("wb") as filler:
            free = os.statvfs(self.path).f_bavail * os.statvfs(self.path).f_frsize
            filler.write(b"x" * max(0, free - room))

    def make_room(self) -> None:
        self._filler.unlink()

    def make_read_only(self, read_only: bool) -> None:
        subprocess.run(["mount", "-o", f"remount,{'ro' if read_only else 'rw'}", str(self.path)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    path = tmp_path / "small"
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=16m", "aifeedback-test", str(path)]
    if sys.platform == "win32" or os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip(NOT_ROOT)
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"{NOT_ROOT}, and where that is allowed: {mounted.stderr.strip()}")
    try:
        yield Disk(path)
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


@dataclass(frozen=True)
class Ended:
    code: int
    out: bytes
    said: str

    @property
    def errors(self) -> list[str]:
        return [line for line in self.said.splitlines() if line.startswith("Error:")]


def label(folder: Path, server: Server, *more: object, limit: int = 0, under: Sequence[str] = (), **env: str) -> Ended:
    """One labelling run in `folder`; `limit`: how many bytes a file may have, as on a disk that is then full."""
    wrapped = ["-c", LIMITED, str(limit)] if limit else []
    arguments = [
        "-m",
        "aifeedback",
        "label",
        "pairs.jsonl",
        "--critic",
        "vllm/m",
        "--base-url",
        server.url,
        "--concurrency",
        16,
        *more,
    ]
    ended = subprocess.run(
        [*under, sys.executable, *wrapped, *map(str, arguments)],
        cwd=folder, env=clean_environment(HOME=str(folder), **env), capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    said = ended.stderr.decode()
    assert "Traceback" not in said
    return Ended(ended.returncode, ended.stdout, said)


def stopped(ended: Ended, folder: Path, *said: str) -> None:
    """One line, exit 2, nothing half finished in place of what stood there."""
    assert ended.code == 2, ended.said
    (line,) = ended.errors
    assert all(word in line for word in said), line
    assert not list(folder.rglob(".*.partial"))


def whole(store: Path) -> None:
    with closing(sqlite3.connect(store)) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def contents(*paths: Path) -> list[bytes]:
    return [path.read_bytes() for path in paths]


@pytest.fixture
def server(critic_server: StartServer) -> Server:
    return critic_server()


# An output on a full disk: its name, what makes it large, and what it is about


def long_meta(folder: Path) -> list[str]:
    write_lines(folder / "pairs.jsonl", some_pairs(40, note="x" * 100_000))
    return []


def long_criteria(folder: Path) -> list[str]:
    write_lines(folder / "pairs.jsonl", some_pairs(4))
    (folder / "criteria.txt").write_text("Which is better? " * 100_000)
    return ["--criteria", "@criteria.txt"]


OUTPUTS = ("labels.jsonl", "rest.jsonl", "summary.json")


def places(folder: Path, *, full: str = "", on: Path | None = None) -> tuple[list[Path], list[str]]:
    """Where the three outputs go, `full` to `on`, and the flags that say so; an older one stands in each place."""
    paths = [(on or folder) / name if name == full else folder / name for name in OUTPUTS]
    for path in paths:
        path.write_text(OLD)
    return paths, [
        word for flag, path in zip(("-o", "--rest", "--summary"), paths, strict=True) for word in (flag, str(path))
    ]


FULL: dict[str, tuple[Callable[[Path], list[str]], str]] = {
    "labels.jsonl": (long_meta, "fair"),
    "rest.jsonl": (long_meta, "first"),
    "summary.json": (long_criteria, "fair"),
}


@pytest.mark.parametrize("full", OUTPUTS)
def test_a_file_that_may_not_grow_stops_the_run_with_all_old_outputs_in_place_and_every_reply_kept(
    tmp_path: Path, critic_server: StartServer, full: str
) -> None:
    make, answer = FULL[full]
    server = critic_server(answer=answer)
    more = make(tmp_path)
    paths, flags = places(tmp_path)
    stopped(
        label(tmp_path, server, *flags, *more, limit=1_000_000),
        tmp_path,
        full,
        "File too large",
        "what is stored is not asked again",
    )
    assert [path.read_text() for path in paths] == [OLD] * 3
    goes_on_and_loses_nothing(tmp_path, server, paths, flags, more)


@pytest.mark.parametrize("room", [0, 4096, 200_000])
@pytest.mark.parametrize("full", OUTPUTS)
def test_a_full_disk_under_an_output_stops_the_run_with_all_old_outputs_in_place_and_every_reply_kept(
    tmp_path: Path, critic_server: StartServer, disk: Disk, full: str, room: int
) -> None:
    make, answer = FULL[full]
    server = critic_server(answer=answer)
    more = make(tmp_path)
    paths, flags = places(tmp_path, full=full, on=disk.path)
    disk.leave(room)
    stopped(
        label(tmp_path, server, *flags, *more),
        tmp_path,
        full,
        "No space left on device",
        "what is stored is not asked again",
    )
    assert [path.read_text() for path in paths] == [OLD] * 3
    disk.make_room()
    goes_on_and_loses_nothing(tmp_path, server, paths, flags, more)


def goes_on_and_loses_nothing(
    folder: Path, server: Server, paths: list[Path], flags: list[str], more: Sequence[str]
) -> None:
    """With room again the same command asks only what is not stored, and its outputs are those of a run without trouble."""
    whole(folder / ".aifeedback" / "replies.sqlite")
    before, kept = server.stats()["requests"], stored(folder)
    assert before - kept <= 16, "no more is lost than what was on its way"
    assert label(folder, server, *flags, *more).code == 0
    assert server.stats()["requests"] - before == 2 * len((folder / "pairs.jsonl").read_bytes().splitlines()) - kept
    labels, rest = contents(*paths[:2])
    shutil.rmtree(folder / ".aifeedback")
    assert label(folder, server, *flags, *more).code == 0
    assert contents(*paths[:2]) == [labels, rest]
    assert labels + rest


# The store on a full disk


@pytest.mark.parametrize("limit", [30_000, 60_000, 120_000])
def test_a_store_that_may_not_grow_stops_the_run_and_keeps_what_was_committed(
    tmp_path: Path, critic_server: StartServer, limit: int
) -> None:
    server = critic_server(faults=["latency:1:0.02"])
    write_lines(tmp_path / "pairs.jsonl", some_pairs(200))
    stopped(label(tmp_path, server, "-o", "-", limit=limit), tmp_path, "replies.sqlite")
    whole(tmp_path / ".aifeedback" / "replies.sqlite")
    before, kept = server.stats()["requests"], stored(tmp_path)
    again = label(tmp_path, server, "-o", "-")
    assert (again.code, again.out.count(b"\n")) == (0, 200), again.said
    assert server.stats()["requests"] - before == 400 - kept


@pytest.mark.parametrize("room", [0, 20_000, 50_000, 100_000, 150_000, 200_000, 300_000, 400_000])
def test_a_full_disk_under_the_store_loses_no_committed_reply_wherever_it_strikes(
    tmp_path: Path, critic_server: StartServer, disk: Disk, room: int
) -> None:
    server = critic_server(faults=["latency:1:0.02"])
    write_lines(tmp_path / "pairs.jsonl", some_pairs(200))
    flags = ["-o", "labels.jsonl", "--store", disk.path / "replies.sqlite"]
    (tmp_path / "labels.jsonl").write_text(OLD)
    disk.leave(room)
    ended = label(tmp_path, server, *flags)
    if ended.code:  # with the most room, what does not fit is only the copy from the log into the file
        stopped(ended, tmp_path, "replies.sqlite", "--store")
        assert (tmp_path / "labels.jsonl").read_text() == OLD
    disk.make_room()
    before = server.stats()["requests"]
    whole(disk.path / "replies.sqlite")
    with closing(sqlite3.connect(disk.path / "replies.sqlite")) as raw:
        tables = raw.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        kept = raw.execute("SELECT count(*) FROM replies").fetchone()[0] if tables else 0
    assert ended.code or kept == 400
    again = label(tmp_path, server, *flags)
    assert again.code == 0, again.said
    assert server.stats()["requests"] - before == 400 - kept
    assert len((tmp_path / "labels.jsonl").read_bytes().splitlines()) == 200


@pytest.mark.parametrize("room", [60_000, 120_000, 200_000, 300_000])
def test_a_full_disk_under_everything_says_what_could_not_be_kept_and_the_same_command_goes_on(
    tmp_path: Path, critic_server: StartServer, disk: Disk, room: int
) -> None:
    server = critic_server(faults=["latency:1:0.02"])
    write_lines(disk.path / "pairs.jsonl", some_pairs(200))
    (disk.path / "labels.jsonl").write_text(OLD)
    disk.leave(room)
    ended = label(disk.path, server, "-o", "labels.jsonl")
    stopped(ended, tmp_path, "ake room")
    assert (disk.path / "labels.jsonl").read_text() == OLD
    disk.make_room()
    whole(disk.path / ".aifeedback" / "replies.sqlite")
    before, kept = server.stats()["requests"], stored(disk.path)
    unkept = re.findall(r"the last (\d+) replies could not be stored", ended.said)
    assert before - kept <= 16 + sum(map(int, unkept))
    again = label(disk.path, server, "-o", "labels.jsonl")
    assert again.code == 0, again.said
    assert server.stats()["requests"] - before == 400 - kept


# The temporary file behind a slow head


def test_a_full_temporary_folder_behind_a_slow_pair_stops_the_run_and_keeps_every_reply(
    tmp_path: Path, critic_server: StartServer, disk: Disk
) -> None:
    server = behind_a_slow_head(tmp_path, critic_server)
    disk.leave(100_000)
    paths, flags = places(tmp_path)
    stopped(
        label(tmp_path, server, *flags, TMPDIR=str(disk.path)),
        tmp_path,
        str(disk.path),
        "TMPDIR",
        "what is stored is not asked again",
    )
    assert [path.read_text() for path in paths] == [OLD] * 3
    disk.make_room()
    server.faults()
    goes_on_and_loses_nothing(tmp_path, server, paths, flags, [])


def test_a_temporary_file_that_may_not_grow_behind_a_slow_pair_stops_the_run_and_keeps_every_reply(
    tmp_path: Path, critic_server: StartServer
) -> None:
    server = behind_a_slow_head(tmp_path, critic_server)
    ended = label(tmp_path, server, "-o", "-", limit=500_000)
    stopped(ended, tmp_path, "TMPDIR", "File too large", "what is stored is not asked again")
    before, kept = server.stats()["requests"], stored(tmp_path)
    server.faults()
    again = label(tmp_path, server, "-o", "-")
    assert (again.code, again.out.count(b"\n")) == (0, 60), again.said
    assert server.stats()["requests"] - before == 120 - kept


def behind_a_slow_head(folder: Path, critic_server: StartServer) -> Server:
    """Some pairs take long, among the first ones too: more than 16 MB of the others wait for them."""
    write_lines(folder / "pairs.jsonl", some_pairs(60, note="x" * 600_000))
    return critic_server(faults=["latency:0.15:5"])


# Folders that can't be written


@pytest.fixture
def without_privileges() -> list[str]:
    """What a command is put behind, so that a folder's permissions hold for root too."""
    if sys.platform == "win32":
        pytest.skip("permissions of folders are another matter there")
    if os.geteuid() != 0:
        return []
    if not shutil.which("setpriv"):
        pytest.skip("root may write everywhere, and there is no setpriv to change that")
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]


def test_an_output_folder_without_permission_ends_the_run_before_anything_is_asked(
    tmp_path: Path, server: Server, without_privileges: list[str]
) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(3))
    (tmp_path / "locked").mkdir()
    (tmp_path / "locked" / "labels.jsonl").write_text(OLD)
    (tmp_path / "locked").chmod(0o555)
    ended = label(tmp_path, server, "-o", "locked/labels.jsonl", under=without_privileges)
    stopped(ended, tmp_path, "locked/labels.jsonl", "Permission denied", "Choose another place")
    assert (tmp_path / "locked" / "labels.jsonl").read_text() == OLD
    assert server.stats()["requests"] == 0


@pytest.mark.parametrize("there", [False, True], ids=["no store yet", "a store"])
def test_a_store_folder_without_permission_ends_the_run_before_anything_is_asked(
    tmp_path: Path, server: Server, without_privileges: list[str], there: bool
) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(3))
    locked = tmp_path / "locked"
    locked.mkdir()
    if there:
        assert label(tmp_path, server, "-o", "labels.jsonl", "--store", "locked/replies.sqlite").code == 0
        (locked / "replies.sqlite").chmod(0o444)
    (tmp_path / "labels.jsonl").write_text(OLD)
    locked.chmod(0o555)
    before = {path.name: path.read_bytes() for path in locked.iterdir()}
    server.reset()
    ended = label(tmp_path, server, "-o", "labels.jsonl", "--store", "locked/replies.sqlite", under=without_privileges)
    stopped(ended, tmp_path, "locked/replies.sqlite", "--store")
    assert server.stats()["requests"] == 0
    assert {path.name: path.read_bytes() for path in locked.iterdir()} == before
    assert (tmp_path / "labels.jsonl").read_text() == OLD


def test_a_read_only_disk_under_the_output_ends_the_run_before_anything_is_asked(
    tmp_path: Path, server: Server, disk: Disk
) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(3))
    (disk.path / "labels.jsonl").write_text(OLD)
    disk.make_read_only(True)
    ended = label(tmp_path, server, "-o", disk.path / "labels.jsonl")
    stopped(ended, tmp_path, "labels.jsonl", "Read-only file system", "Choose another place")
    assert (disk.path / "labels.jsonl").read_text() == OLD
    assert server.stats()["requests"] == 0


@pytest.mark.parametrize("there", [False, True], ids=["no store yet", "a store"])
def test_a_read_only_disk_under_the_store_ends_the_run_before_anything_is_asked_and_the_store_is_good_afterwards(
    tmp_path: Path, server: Server, disk: Disk, there: bool
) -> None:
    write_lines(tmp_path / "pairs.jsonl", some_pairs(3))
    flags = ["-o", "labels.jsonl", "--store", disk.path / "replies.sqlite"]
    if there:
        assert label(tmp_path, server, *flags).code == 0
    server.reset()
    disk.make_read_only(True)
    ended = label(tmp_path, server, *flags)
    assert (ended.code, len(ended.errors)) == (2, 1), ended.said
    assert "replies.sqlite" in ended.said
    assert "--store" in ended.said
    assert server.stats()["requests"] == 0
    disk.make_read_only(False)
    assert label(tmp_path, server, *flags).code == 0
    assert server.stats()["requests"] == (0 if there else 6)


# Folders that are gone


def test_an_output_folder_that_vanishes_in_mid_run_costs_no_reply_and_the_same_command_goes_on(
    tmp_path: Path, critic_server: StartServer
) -> None:
    server = critic_server(faults=["latency:0.1"])
    write_lines(tmp_path / "pairs.jsonl", some_pairs(50))
    (tmp_path / "out").mkdir()
    flags = ["-o", "out/labels.jsonl", "--summary", "summary.json", "--concurrency", "8"]
    (tmp_path / "summary.json").write_text(OLD)
    process = subprocess.Popen(
        [sys.executable, "-m", "aifeedback", "label", "pairs.jsonl", "--critic", "vllm/m", "--base-url", server.url, *flags],
        cwd=tmp_path, env=clean_environment(HOME=str(tmp_path)), stderr=subprocess.PIPE,
    )  # fmt: skip
    wait_until(server, 30)
    shutil.rmtree(tmp_path / "out")
    _, said = process.communicate(timeout=120)
    stopped(
        Ended(process.returncode, b"", said.decode()),
        tmp_path,
        "out/labels.jsonl",
        "removed",
        "what is stored is not asked again",
    )
    assert (tmp_path / "summary.json").read_text() == OLD, "the summary of a run without labels would mislead"
    assert stored(tmp_path) == 100
    (tmp_path / "out").mkdir()
    server.reset()
    assert label(tmp_path, server, *flags).code == 0
    assert server.stats()["requests"] == 0
    assert len((tmp_path / "out" / "labels.jsonl").read_bytes().splitlines()) == 50


def test_a_reader_that_goes_away_in_mid_run_ends_it_quietly_and_no_reply_is_lost(
    tmp_path: Path, critic_server: StartServer
) -> None:
    server = critic_server(faults=["latency:0.05"])
    write_lines(tmp_path / "pairs.jsonl", some_pairs(200))
    process = subprocess.Popen(
        [sys.executable, "-m", "aifeedback", "label", "pairs.jsonl", "--critic", "vllm/m", "--base-url", server.url, "-q", "--concurrency", "8"],
        cwd=tmp_path, env=clean_environment(HOME=str(tmp_path)), stderr=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline()
    process.stdout.close()
    assert process.wait(60) == 0
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()
    before, kept = server.stats()["requests"], stored(tmp_path)
    assert before - kept <= 8
    again = label(tmp_path, server, "-o", "labels.jsonl")
    assert again.code == 0, again.said
    assert server.stats()["requests"] - before == 400 - kept
