"""Outputs that appear whole, by rename, flow through a pipe, or are held back before one."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import select
import stat
import sys
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Protocol

from aifeedback.errors import OutputError, SettingsError

STDOUT = "-"
_GZIP_FORMAT = zlib.MAX_WBITS | 16
_HELD_IN_MEMORY = 16 * 1024 * 1024
_AT_ONCE = 1 << 20
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Output(Protocol):
    """Somewhere lines go."""

    def write(self, lines: Sequence[bytes]) -> None:
        """Write lines, each without its newline."""
        ...

    def send(self, data: bytes) -> None:
        """Write bytes as they are."""
        ...

    def settle(self) -> None:
        """All lines are written: whatever can still fail fails here, and only letting them be seen is left."""
        ...

    def finish(self) -> None:
        """Let what is settled be seen."""
        ...

    def discard(self) -> None:
        """The run was broken off: leave what stood there before."""
        ...


def open_output(path: str) -> Output:
    """The output at `path` (`-`: stdout). Raises OutputError where it can't be written."""
    if path == STDOUT:
        return PipeOutput(_stdout(), "stdout")
    target = Path(path)
    mode = _mode(target)
    if stat.S_ISDIR(mode):
        raise OutputError(f"{path} is a folder. Name a file in it.")
    if not mode or stat.S_ISREG(mode):
        return FileOutput(target)
    try:
        return PipeOutput(target.open("wb", buffering=0), path, ours=True)
    except OSError as error:
        raise _unwritable(path, error) from error


def _stdout() -> BinaryIO | io.RawIOBase:
    """Stdout without its buffer: what can't be written must not turn up again when Python ends."""
    buffered: BinaryIO | None = getattr(sys.stdout, "buffer", None)
    if buffered is None:
        raise OutputError("there is no stdout to write to. Name a file with -o.")
    sys.stdout.flush()
    raw: BinaryIO | io.RawIOBase = getattr(buffered, "raw", buffered)
    return raw


class PipeOutput:
    """Lines go out as they come: stdout, a named pipe, a device. Raises BrokenPipeError when the reader has gone.

    `ours`: whether the stream is closed at the end.
    """

    def __init__(self, stream: BinaryIO | io.RawIOBase, name: str, *, ours: bool = False) -> None:
        self._stream = stream
        self._name = name
        self._ours = ours

    def write(self, lines: Sequence[bytes]) -> None:
        """Write all of them before it returns."""
        self.send(_joined(lines))

    def send(self, data: bytes) -> None:
        """Write bytes as they are."""
        left = memoryview(data)
        try:
            while left:
                written = self._stream.write(left)
                if written is None:  # somebody set the pipe to non-blocking, and it is full
                    select.select([], [self._stream], [])
                left = left[written or 0 :]
        except BrokenPipeError:
            raise
        except OSError as error:
            raise _unwritable(self._name, error) from error

    def check_reader(self) -> None:
        """Raise BrokenPipeError where this is a pipe that nobody reads any more."""
        if sys.platform != "win32":
            try:
                descriptor = self._stream.fileno()
            except OSError:  # a stand-in for stdout, without a descriptor
                return
            if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
                poll = select.poll()
                poll.register(descriptor, 0)
                if any(event & select.POLLERR for _, event in poll.poll(0)):
                    raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    def settle(self) -> None:
        """What was written has gone out."""

    def finish(self) -> None:
        """Nothing is held back."""
        if self._ours:
            self._stream.close()

    def discard(self) -> None:
        """What has gone out can't be taken back."""
        self.finish()


class HeldOutput:
    """Lines wait before a pipe until `release`: who reads it can't see how the run ends, only what comes through.

    Up to `in_memory` bytes of them; more go to a temporary file without a name. Not a byte goes out unreleased.
    Raises BrokenPipeError when the reader has gone, also while lines still wait for it.
    """

    def __init__(self, pipe: PipeOutput, *, in_memory: int = _HELD_IN_MEMORY) -> None:
        self._pipe = pipe
        self._held = tempfile.SpooledTemporaryFile(max_size=in_memory)  # noqa: SIM115 - closed by finish or discard

    def write(self, lines: Sequence[bytes]) -> None:
        """Hold lines back."""
        self.send(_joined(lines))

    def send(self, data: bytes) -> None:
        """Hold bytes back."""
        self._pipe.check_reader()
        try:
            self._held.write(data)
        except OSError as error:
            raise _unholdable(error) from error

    def release(self) -> None:
        """Write all that is held back, and return when it is through."""
        try:
            self._held.seek(0)
            while data := self._held.read(_AT_ONCE):
                self._pipe.send(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise _unholdable(error) from error

    def settle(self) -> None:
        """Whether any of it goes out is decided by `release`."""

    def finish(self) -> None:
        """Drop what was not released."""
        with contextlib.suppress(OSError):
            self._held.close()
        self._pipe.finish()

    def discard(self) -> None:
        """Drop what was not released."""
        self.finish()


class FileOutput:
    """Lines gather in `.NAME.partial` beside the file and take its place at the end; gzipped if it ends in `.gz`.

    The partial file is locked while a run writes it: two runs can't write the same output, and what a killed run left
    behind is taken over by the next.
    """

    def __init__(self, target: Path) -> None:
        # Compressed without a date or a name: the same lines are the same bytes.
        self._gzip = zlib.compressobj(6, zlib.DEFLATED, _GZIP_FORMAT) if target.suffix == ".gz" else None
        self._settled = False
        self._target = Path(os.path.realpath(target))
        self._partial = self._target.with_name(f".{self._target.name}.partial")
        try:
            self._stream = self._open()
        except OSError as error:
            raise _unwritable(str(target), error) from error

    def _open(self) -> BinaryIO:
        while True:
            stream = self._partial.open("ab", buffering=1 << 16)
            if not locked(stream):
                stream.close()
                raise OutputError(f"{self._target} is being written by another run. Wait for it, or choose another -o.")
            # The run that held the lock may have renamed the file away in between.
            if self._is_in_place(stream):
                stream.truncate(0)
                return stream
            stream.close()

    def _is_in_place(self, stream: BinaryIO) -> bool:
        try:
            return os.fstat(stream.fileno()).st_ino == self._partial.stat().st_ino
        except OSError:
            return False

    def write(self, lines: Sequence[bytes]) -> None:
        """Append lines."""
        self.send(_joined(lines))

    def send(self, data: bytes) -> None:
        """Append bytes as they are."""
        try:
            self._stream.write(data if self._gzip is None else self._gzip.compress(data))
        except OSError as error:
            raise _unwritable(str(self._target), error) from error

    def settle(self) -> None:
        """Bring every byte to the disk. What can't be brought there is removed."""
        if self._settled:
            return
        try:
            if self._gzip is not None:
                self._stream.write(self._gzip.flush())
            self._stream.flush()
            os.fsync(self._stream.fileno())
            lost = not self._is_in_place(self._stream)
        except OSError as error:
            self.discard()
            raise _unwritable(str(self._target), error) from error
        if lost:
            self.discard()
            raise OutputError(
                f"{self._target} can't be finished: what was written of it was removed, or its folder. "
                "Create the folder and run the same command again: what is stored is not asked again."
            )
        self._settled = True

    def finish(self) -> None:
        """Put the file in its place."""
        self.settle()
        try:
            self._partial.replace(self._target)
        except OSError as error:
            self.discard()
            raise _unwritable(str(self._target), error) from error
        self._stream.close()

    def discard(self) -> None:
        """Remove the partial file, unless it is finished: then another run's may stand in its place."""
        if self._stream.closed:
            return
        with contextlib.suppress(OSError):
            self._partial.unlink()
        with contextlib.suppress(OSError):
            self._stream.close()


def _joined(lines: Sequence[bytes]) -> bytes:
    return b"\n".join((*lines, b"")) if lines else b""


def locked(stream: BinaryIO) -> bool:
    """Lock a file, unless another process has done so. A file system without locks goes without."""
    if sys.platform != "win32":
        import fcntl

        try:
            fcntl.flock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True
    return True


def _unwritable(path: str, error: OSError) -> OutputError:
    if error.errno == errno.ENOENT:
        return OutputError(f"{path} can't be written: its folder is not there. Create it, or choose another place.")
    advice = "Make room or choose another place" if error.errno in _FULL else "Choose another place"
    return OutputError(
        f"{path} can't be written: {error.strerror or error}. {advice}, and run the same command again: what is stored is not asked again."
    )


def _unholdable(error: OSError) -> OutputError:
    where = tempfile.tempdir or "a temporary folder"
    return OutputError(
        f"the rows that wait before the pipe can't be kept in {where}: {error.strerror or error}. Set TMPDIR to a folder with room, or name a file with -o, and run the same command again: what is stored is not asked again."
    )


def rest_path(output: str) -> str:
    """Where the rest goes by default: beside the output as NAME.rest.jsonl; `""` (nowhere) beside stdout or a pipe."""
    path = Path(output)
    mode = _mode(path)
    if output == STDOUT or (mode and not stat.S_ISREG(mode)):
        return ""
    name = path.name
    for suffix in (".gz", ".jsonl", ".json", ".ndjson"):
        name = name.removesuffix(suffix)
    return str(path.with_name(f"{name}.rest.jsonl"))


def check_distinct(inputs: Sequence[str], outputs: Sequence[tuple[str, str]]) -> None:
    """Raises SettingsError where an output (flag, path) is also an input or another output, under whatever name."""
    seen = {_place(path, descriptor=0): f"the input {path}" for path in inputs}
    for flag, path in outputs:
        place = _place(path, descriptor=1) if path else None
        if place is not None and place in seen:
            raise SettingsError(f"{flag} {path} is also {seen[place]}. Choose another file.")
        seen[place] = f"{flag} {path}"


def _place(path: str, *, descriptor: int) -> object:
    """What tells a file from others, also under a second name; None for a device or a pipe that has a name."""
    try:
        facts = os.fstat(descriptor) if path == STDOUT else Path(path).stat()
    except OSError:
        return descriptor if path == STDOUT else os.path.realpath(path)
    if stat.S_ISREG(facts.st_mode):
        return facts.st_dev, facts.st_ino
    return descriptor if path == STDOUT else None


def _mode(path: Path) -> int:
    """What stands at `path`; 0 for nothing."""
    try:
        return path.stat().st_mode
    except OSError:
        return 0
