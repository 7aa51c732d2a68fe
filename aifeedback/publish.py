"""Outputs that appear whole, by rename, or flow through a pipe."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO, Protocol

from aifeedback.errors import OutputError, SettingsError

STDOUT = "-"


class Output(Protocol):
    """Somewhere lines go."""

    def write(self, lines: Sequence[bytes]) -> None:
        """Write lines, each without its newline."""
        ...

    def finish(self) -> None:
        """All lines are written: let them be seen."""
        ...

    def discard(self) -> None:
        """The run was broken off: leave what stood there before."""
        ...


def open_output(path: str) -> Output:
    """The output at `path` (`-`: stdout). Raises OutputError where it can't be written."""
    if path == STDOUT:
        return PipeOutput(sys.stdout.buffer, "stdout")
    target = Path(path)
    with contextlib.suppress(OSError):
        if not stat.S_ISREG(target.stat().st_mode):
            if target.is_dir():
                raise OutputError(f"{path} is a folder. Name a file in it.")
            return PipeOutput(target.open("wb", buffering=0), path)
    return FileOutput(target)


class PipeOutput:
    """Lines go out as they come: stdout, a named pipe, a device. Raises BrokenPipeError when the reader has gone."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self._stream = stream
        self._name = name

    def write(self, lines: Sequence[bytes]) -> None:
        """Write and flush."""
        if not lines:
            return
        try:
            self._stream.write(b"\n".join(lines) + b"\n")
            self._stream.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise _unwritable(self._name, error) from error

    def finish(self) -> None:
        """Nothing is held back."""

    def discard(self) -> None:
        """What has gone out can't be taken back."""


class FileOutput:
    """Lines gather in `.NAME.partial` beside the file and take its place at the end.

    The partial file is locked while a run writes it: two runs can't write the same output, and what a killed run left
    behind is taken over by the next.
    """

    def __init__(self, target: Path) -> None:
        self._target = target.resolve()
        self._partial = self._target.with_name(f".{self._target.name}.partial")
        try:
            self._stream = self._open()
        except OSError as error:
            raise _unwritable(str(target), error) from error

    def _open(self) -> BinaryIO:
        while True:
            stream = self._partial.open("ab", buffering=1 << 16)
            try:
                _lock(stream)
            except OSError as error:
                stream.close()
                raise OutputError(
                    f"{self._target} is being written by another run. Wait for it, or choose another -o."
                ) from error
            # The run that held the lock may have renamed the file away in between.
            with contextlib.suppress(OSError):
                if os.fstat(stream.fileno()).st_ino == self._partial.stat().st_ino:
                    stream.truncate(0)
                    return stream
            stream.close()

    def write(self, lines: Sequence[bytes]) -> None:
        """Append lines."""
        try:
            self._stream.writelines(_with_newlines(lines))
        except OSError as error:
            raise _unwritable(str(self._target), error) from error

    def finish(self) -> None:
        """Put the file in its place."""
        try:
            self._stream.flush()
            os.fsync(self._stream.fileno())
            self._partial.replace(self._target)
        except OSError as error:
            raise _unwritable(str(self._target), error) from error
        finally:
            with contextlib.suppress(OSError):
                self._stream.close()

    def discard(self) -> None:
        """Remove the partial file."""
        with contextlib.suppress(OSError):
            self._partial.unlink()
        with contextlib.suppress(OSError):
            self._stream.close()


def _with_newlines(lines: Iterable[bytes]) -> Iterable[bytes]:
    for line in lines:
        yield line
        yield b"\n"


def _lock(stream: BinaryIO) -> None:
    if sys.platform != "win32":
        import fcntl

        fcntl.flock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)


def _unwritable(path: str, error: OSError) -> OutputError:
    return OutputError(
        f"{path} can't be written: {error.strerror or error}. Make room or choose another place, and run the same command again: no reply is lost."
    )


def rest_path(output: str) -> str:
    """Where the rest goes by default: beside the output as NAME.rest.jsonl; `""` (nowhere) beside stdout."""
    if output == STDOUT:
        return ""
    path = Path(output)
    name = path.name
    for suffix in (".gz", ".jsonl", ".json", ".ndjson"):
        name = name.removesuffix(suffix)
    return str(path.with_name(f"{name}.rest.jsonl"))


def check_distinct(inputs: Sequence[str], outputs: Sequence[tuple[str, str]]) -> None:
    """Raises SettingsError where an output (flag, path) is also an input or another output."""
    seen: dict[Path, str] = {Path(path).resolve(): f"the input {path}" for path in inputs if path != STDOUT}
    for flag, path in outputs:
        if path in {"", STDOUT}:
            continue
        place = Path(path).resolve()
        if place in seen and not _is_device(place):
            raise SettingsError(f"{flag} {path} is also {seen[place]}. Choose another file.")
        seen[place] = f"{flag} {path}"


def _is_device(path: Path) -> bool:
    try:
        return not stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False
