"""Outputs appear whole or not at all, and never on top of an input or of another run's."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from aifeedback.errors import OutputError, SettingsError
from aifeedback.publish import FileOutput, PipeOutput, check_distinct, open_output, rest_path

LINES = [b'{"id": "1"}', "ünï\u2028".encode(), b""]
TEXT = b'{"id": "1"}\n' + "ünï\u2028".encode() + b"\n\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "labels.jsonl"


def names(folder: Path) -> list[str]:
    """What lies in `folder`."""
    return sorted(path.name for path in folder.iterdir())


def partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial")


def python(code: str, *arguments: object, **options: object) -> subprocess.Popen[bytes]:
    head = "import sys\nfrom pathlib import Path\nfrom aifeedback.publish import open_output\n"
    return subprocess.Popen(  # type: ignore[call-overload,no-any-return]
        [sys.executable, "-c", head + code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=options.pop("stdout", subprocess.PIPE),
        cwd=Path(__file__).parents[1],
        **options,
    )


def test_a_file_appears_at_the_end_and_not_before(path: Path):
    output = open_output(str(path))
    output.write(LINES)
    output.write([])
    assert not path.exists()
    output.finish()
    assert path.read_bytes() == TEXT
    assert names(path.parent) == ["labels.jsonl"]


def test_an_existing_file_is_replaced_as_a_whole(path: Path):
    path.write_text("older and longer than what comes\n" * 10)
    seen = path.open("rb")
    output = open_output(str(path))
    output.write(LINES)
    output.finish()
    assert path.read_bytes() == TEXT
    with seen:  # who reads the old file reads on in the old file
        assert seen.read().startswith(b"older")


def test_an_output_without_lines_is_an_empty_file(path: Path):
    open_output(str(path)).finish()
    assert path.read_bytes() == b""


def test_what_is_discarded_leaves_what_stood_there(path: Path):
    path.write_text("old")
    output = open_output(str(path))
    output.write(LINES)
    output.discard()
    output.discard()
    assert path.read_text() == "old"
    assert names(path.parent) == ["labels.jsonl"]


def test_discarding_what_is_finished_harms_nobody(path: Path):
    output = open_output(str(path))
    output.finish()
    other = open_output(str(path))
    other.write(LINES)
    output.discard()
    other.finish()
    assert path.read_bytes() == TEXT


def test_what_a_killed_run_left_behind_is_taken_over(path: Path):
    process = python(
        """
output = open_output(sys.argv[1])
output.write([b"x" * 10_000_000])
print("ready", flush=True)
sys.stdin.read()
""",
        path,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    with pytest.raises(OutputError, match="is being written by another run"):
        open_output(str(path))
    process.kill()
    process.communicate()
    assert partial(path).stat().st_size > 1_000_000

    output = open_output(str(path))
    output.write(LINES)
    output.finish()
    assert path.read_bytes() == TEXT
    assert names(path.parent) == ["labels.jsonl"]


def test_a_second_run_on_the_same_output_is_refused_and_does_no_harm(path: Path):
    first = open_output(str(path))
    first.write(LINES)
    link = path.with_name("link.jsonl")
    link.symlink_to(path)
    for name in (path, link):
        with pytest.raises(OutputError, match="another run") as caught:
            open_output(str(name))
        assert "\n" not in str(caught.value)
    first.finish()
    assert path.read_bytes() == TEXT
    open_output(str(path)).discard()


def test_a_file_whose_lock_was_won_too_late_is_opened_again(path: Path, monkeypatch: pytest.MonkeyPatch):
    first = open_output(str(path))
    first.write(LINES)
    opened: list[object] = []
    open_as_ever = Path.open

    def open_late(self: Path, *args: object, **kwargs: object) -> object:
        stream = open_as_ever(self, *args, **kwargs)  # type: ignore[call-overload]
        if not opened:
            first.finish()
        opened.append(stream)
        return stream

    monkeypatch.setattr(Path, "open", open_late)
    second = open_output(str(path))
    monkeypatch.undo()
    assert len(opened) == 2
    assert path.read_bytes() == TEXT
    second.write([b"second"])
    second.finish()
    assert path.read_bytes() == b"second\n"


def test_a_file_system_without_locks_goes_without(path: Path, monkeypatch: pytest.MonkeyPatch):
    fcntl = pytest.importorskip("fcntl")

    def refuse(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    output = open_output(str(path))
    output.write(LINES)
    output.finish()
    assert path.read_bytes() == TEXT


def test_a_link_stays_a_link_and_its_file_is_replaced(tmp_path: Path, path: Path):
    (tmp_path / "elsewhere").mkdir()
    path.symlink_to(tmp_path / "elsewhere" / "real.jsonl")
    output = open_output(str(path))
    output.write(LINES)
    output.finish()
    assert path.is_symlink()
    assert (tmp_path / "elsewhere" / "real.jsonl").read_bytes() == TEXT


def one_line(error: pytest.ExceptionInfo[OutputError], *words: str) -> None:
    message = str(error.value)
    assert "\n" not in message
    assert message.endswith(".")
    for word in words:
        assert word in message


def test_a_folder_that_vanishes_is_an_error(tmp_path: Path):
    folder = tmp_path / "gone"
    folder.mkdir()
    output = open_output(str(folder / "labels.jsonl"))
    output.write(LINES)
    partial(folder / "labels.jsonl").unlink()
    folder.rmdir()
    output.write(LINES)
    with pytest.raises(OutputError) as caught:
        output.finish()
    one_line(caught, str(folder / "labels.jsonl"), "was removed, or its folder")
    output.discard()


@pytest.mark.parametrize("name", ["labels.jsonl", "labels.jsonl.gz"])
def test_what_is_settled_is_not_seen_yet_and_can_still_be_discarded(tmp_path: Path, name: str):
    path = tmp_path / name
    path.write_text("old")
    for ending in ("discard", "finish"):
        output = open_output(str(path))
        output.write(LINES)
        output.settle()
        output.settle()
        assert path.read_text() == "old"
        getattr(output, ending)()
        assert not partial(path).exists()
    read = gzip.decompress if name.endswith("gz") else bytes
    assert read(path.read_bytes()) == b"\n".join([*LINES, b""])


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("no/such/folder.jsonl", "its folder is not there"),
        ("file/labels.jsonl", "Not a directory"),
        ("x" * 300, "File name too long"),
        ("folder", "is a folder. Name a file in it."),
    ],
    ids=["no folder", "below a file", "too long", "a folder"],
)
def test_a_place_where_nothing_can_be_written_is_an_error_at_once(tmp_path: Path, name: str, reason: str):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError) as caught:
        open_output(str(tmp_path / name))
    one_line(caught, name, reason)
    assert names(tmp_path) == ["file", "folder"]


def test_what_can_not_be_opened_for_writing_is_an_error_of_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)  # the name of a socket must be short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        with pytest.raises(OutputError) as caught:
            open_output("socket")
    one_line(caught, "socket can't be written")
    assert names(tmp_path) == ["socket"]


class FullDisk(io.BufferedWriter):
    """A disk that takes no more."""

    def flush(self) -> None:
        if not self.closed:
            raise OSError(28, "No space left on device")

    def write(self, _: object) -> int:
        raise OSError(28, "No space left on device")

    def close(self) -> None:
        with contextlib.suppress(OSError):
            super().close()


@pytest.mark.parametrize("when", ["write", "finish"])
def test_a_full_disk_is_an_error_and_leaves_nothing_lying_about(path: Path, when: str):
    path.write_text("old")
    output = open_output(str(path))
    assert isinstance(output, FileOutput)
    with output._stream as stream, FullDisk(open(os.dup(stream.fileno()), "ab", buffering=0)) as full:
        output._stream = full
        with pytest.raises(OutputError) as caught:
            output.write(LINES) if when == "write" else output.finish()
        output.discard()
    one_line(caught, str(path), "No space left on device", "what is stored is not asked again")
    assert path.read_text() == "old"
    assert names(path.parent) == ["labels.jsonl"]


def test_a_full_device_is_an_error_at_the_first_line():
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    output = open_output("/dev/full")
    output.write([])
    with pytest.raises(OutputError) as caught:
        output.write(LINES)
    one_line(caught, "/dev/full", "No space left on device")
    output.finish()
    output.discard()
    assert not list(Path("/dev").glob(".full*"))


def test_a_full_stdout_is_an_error_that_does_not_come_back_when_python_ends():
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    code = """
from aifeedback.errors import OutputError
try:
    open_output("-").write([b"x"])
except OutputError as error:
    print(error, file=sys.stderr)
    sys.exit(2)
"""
    with open("/dev/full", "wb") as full:
        process = python(code, stdout=full, stderr=subprocess.PIPE)
        _, said = process.communicate()
    assert process.returncode == 2
    assert said.count(b"\n") == 1
    assert said.startswith(b"stdout can't be written: No space left on device.")


def test_lines_flow_through_stdout_as_they_come():
    process = python("""
print("first")
output = open_output("-")
output.write([b"one", b"two"])
sys.stdin.read(1)
output.write([b"three"])
output.finish()
""")
    assert process.stdout is not None
    assert [process.stdout.readline() for _ in range(3)] == [b"first\n", b"one\n", b"two\n"]
    assert process.communicate(b".")[0] == b"three\n"


def test_a_reader_that_closes_the_pipe_is_no_failed_output():
    ours, theirs = os.pipe()
    os.close(ours)
    with open(theirs, "wb", buffering=0) as stream, pytest.raises(BrokenPipeError):
        PipeOutput(stream, "stdout").write(LINES)


def test_without_a_stdout_there_is_an_error_of_one_line(monkeypatch: pytest.MonkeyPatch):
    for stdout in (None, io.StringIO()):
        monkeypatch.setattr(sys, "stdout", stdout)
        with pytest.raises(OutputError) as caught:
            open_output("-")
        monkeypatch.undo()
        one_line(caught, "-o")


def test_a_stdout_of_bytes_is_good_enough(monkeypatch: pytest.MonkeyPatch):
    stdout = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stdout", stdout)
    output = open_output("-")
    monkeypatch.undo()
    output.write(LINES)
    assert stdout.buffer.getvalue() == TEXT  # type: ignore[attr-defined]


class Reluctant(io.RawIOBase):
    """Takes three bytes at a time, and at times none."""

    def __init__(self, pipe: int) -> None:
        self.taken = b""
        self._pipe = pipe
        self._turn = 0

    def fileno(self) -> int:
        return self._pipe

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int | None:  # type: ignore[override]
        self._turn += 1
        if self._turn % 2:
            return None
        some = bytes(data)[:3]  # type: ignore[call-overload]
        self.taken += some
        return len(some)


def test_a_pipe_that_takes_a_little_at_a_time_gets_everything():
    ours, theirs = os.pipe()
    stream = Reluctant(theirs)
    PipeOutput(stream, "stdout").write(LINES)
    assert stream.taken == TEXT
    os.close(ours)
    os.close(theirs)


def test_a_named_pipe_is_written_as_lines_come(tmp_path: Path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    heard: list[bytes] = []
    reader = threading.Thread(target=lambda: heard.append(pipe.read_bytes()))
    reader.start()
    output = open_output(str(pipe))
    assert isinstance(output, PipeOutput)
    output.write(LINES)
    output.finish()
    reader.join(10)
    assert heard == [TEXT]
    assert names(tmp_path) == ["pipe"]


def gzipped(path: Path, chunks: Sequence[Sequence[bytes]]) -> bytes:
    output = open_output(str(path))
    for lines in chunks:
        output.write(lines)
    output.finish()
    return path.read_bytes()


def test_a_name_that_ends_in_gz_is_written_gzipped(tmp_path: Path):
    content = gzipped(tmp_path / "labels.jsonl.gz", [LINES, [], LINES])
    assert gzip.decompress(content) == TEXT * 2
    assert gzip.decompress(gzipped(tmp_path / "empty.gz", [])) == b""
    assert names(tmp_path) == ["empty.gz", "labels.jsonl.gz"]


def test_the_same_lines_are_the_same_gzipped_bytes(tmp_path: Path):
    lines = [b"%d" % number for number in range(10_000)]
    one, other = gzipped(tmp_path / "one.gz", [lines]), gzipped(tmp_path / "other.gz", [lines[:10], lines[10:]])
    assert one == other
    assert one[4:8] == b"\0\0\0\0"  # no date
    assert one[3] == 0  # no name


def test_a_gzipped_output_is_discarded_as_any_other(tmp_path: Path):
    output = open_output(str(tmp_path / "labels.jsonl.gz"))
    output.write(LINES)
    output.discard()
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("output", "rest"),
    [
        ("-", ""),
        ("labels.jsonl", "labels.rest.jsonl"),
        ("out/labels.jsonl", "out/labels.rest.jsonl"),
        ("/abs/labels.jsonl.gz", "/abs/labels.rest.jsonl"),
        ("labels.json", "labels.rest.jsonl"),
        ("labels.ndjson", "labels.rest.jsonl"),
        ("labels", "labels.rest.jsonl"),
        ("labels.v2.jsonl", "labels.v2.rest.jsonl"),
        ("labels.txt", "labels.txt.rest.jsonl"),
        ("/dev/null", ""),
        ("/dev/stdin", ""),
        ("/", ""),
        (".", ""),
        ("", ""),
    ],
)
def test_the_rest_lies_beside_the_output(output: str, rest: str):
    if output == "/dev/stdin" and Path(output).is_file():
        pytest.skip("stdin is a file here")
    assert rest_path(output) == rest


def test_the_rest_of_a_named_pipe_goes_nowhere(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    assert rest_path(str(tmp_path / "pipe")) == ""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a file under several names."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    (tmp_path / "pairs.jsonl").write_text("{}")
    (tmp_path / "link.jsonl").symlink_to("pairs.jsonl")
    (tmp_path / "hard.jsonl").hardlink_to(tmp_path / "pairs.jsonl")
    (tmp_path / "dangling.jsonl").symlink_to("new.jsonl")
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")
    return tmp_path


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        (["pairs.jsonl"], [("-o", "pairs.jsonl")]),
        (["pairs.jsonl"], [("-o", "./sub/../pairs.jsonl")]),
        (["pairs.jsonl"], [("-o", "link.jsonl")]),
        (["link.jsonl"], [("-o", "pairs.jsonl")]),
        (["pairs.jsonl"], [("-o", "hard.jsonl")]),
        (["other.jsonl", "pairs.jsonl"], [("-o", "new.jsonl"), ("--rest", "pairs.jsonl")]),
        (["missing.jsonl"], [("-o", "missing.jsonl")]),
        ([], [("-o", "new.jsonl"), ("--rest", "new.jsonl")]),
        ([], [("-o", "new.jsonl"), ("--summary", "dangling.jsonl")]),
        ([], [("-o", "loop"), ("--rest", "loop")]),
        ([], [("-o", "-"), ("--rest", "-")]),
    ],
    ids=lambda value: " ".join(str(each) for each in value) or "none",
)
def test_an_output_that_is_also_something_else_is_refused(
    folder: Path, inputs: list[str], outputs: list[tuple[str, str]]
):
    assert folder
    with pytest.raises(SettingsError, match="Choose another file") as caught:
        check_distinct(inputs, outputs)
    flag, path = outputs[-1]
    assert str(caught.value).startswith(f"{flag} {path} is also ")


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        (["pairs.jsonl"], [("-o", "labels.jsonl"), ("--rest", "rest.jsonl"), ("--summary", "")]),
        (["pairs.jsonl", "pairs.jsonl"], [("-o", "new.jsonl")]),
        (["-"], [("-o", "-"), ("--rest", ""), ("--summary", "")]),
        (["pairs.jsonl"], [("-o", "/dev/null"), ("--rest", "/dev/null")]),
        (["/dev/null"], [("-o", "/dev/null")]),
        (["pipe"], [("-o", "new.jsonl"), ("--rest", "pipe")]),
    ],
    ids=["all different", "an input twice", "stdin and stdout", "nowhere twice", "nothing to nowhere", "pipes"],
)
def test_outputs_that_differ_are_fine(folder: Path, inputs: list[str], outputs: list[tuple[str, str]]):
    assert folder
    check_distinct(inputs, outputs)


@pytest.mark.parametrize(
    ("inputs", "outputs", "mode"),
    [
        (["-"], [("-o", "pairs.jsonl")], "r"),
        (["pairs.jsonl"], [("-o", "-")], "a"),
        ([], [("--rest", "pairs.jsonl"), ("-o", "-")], "a"),
    ],
    ids=["stdin is the output", "stdout is the input", "stdout is the rest"],
)
def test_what_the_shell_has_redirected_counts_too(
    folder: Path, inputs: list[str], outputs: list[tuple[str, str]], mode: str
):
    code = f"""
from aifeedback.errors import SettingsError
from aifeedback.publish import check_distinct
try:
    check_distinct({inputs}, {outputs})
except SettingsError as error:
    sys.stderr.write(str(error))
"""
    with open(folder / "pairs.jsonl", mode) as file:
        done = subprocess.run(
            [sys.executable, "-c", f"import sys\n{code}"],
            stdin=file if mode == "r" else subprocess.DEVNULL,
            stdout=file if mode == "a" else subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=True,
        )
    assert b"is also" in done.stderr
