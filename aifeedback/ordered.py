"""Rows finished in any order, handed out in input order, in bounded memory."""

from __future__ import annotations

import contextlib
import struct
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from aifeedback.errors import OutputError

_IN_MEMORY = 16 * 1024 * 1024
_BESIDE = 200
_HEAD = struct.Struct("<Q?q?")


@dataclass(frozen=True, slots=True)
class Row:
    """One line that is ready to be written. `labelled` rows go to the output, the others to the rest.

    `meta_shape` tells rows apart whose `meta` a loader would type differently; `votes`: whether it holds any.
    """

    data: bytes
    labelled: bool
    meta_shape: int = 0
    votes: bool = False


class Ordered:
    """Takes rows by index, gives them out without gaps; what waits behind a slow head goes to disk above 16 MB.

    Raises OutputError where the disk is full.
    """

    def __init__(self) -> None:
        self._next = 0
        self._complete = 0
        self._waiting: dict[int, Row] = {}
        self._on_disk: dict[int, int] = {}
        self._bytes = 0
        self._file: IO[bytes] | None = None
        self._file_end = 0

    def put(self, index: int, row: Row) -> None:
        """Hand in the row of input position `index` (from 0); each index once."""
        if index != self._next and self._bytes + _size(row) > _IN_MEMORY:
            self._spill(index, row)
        else:
            self._waiting[index] = row
            self._bytes += _size(row)

    def complete(self) -> int:
        """The index before which every row has been handed in."""
        while self._complete in self._waiting or self._complete in self._on_disk:
            self._complete += 1
        return self._complete

    def take(self, end: int) -> list[Row]:
        """The rows that are next in line, before index `end`, and of many only the first 16 MB. Empty: no more."""
        taken: list[Row] = []
        size = 0
        while self._next < end and size < _IN_MEMORY:
            row = self._waiting.pop(self._next, None)
            if row is None:
                row = self._fetch(self._on_disk.pop(self._next))
            else:
                self._bytes -= _size(row)
            size += _size(row)
            taken.append(row)
            self._next += 1
        if self._file is not None and self._file_end and not self._on_disk:
            with _disk():  # it may write first what it still holds back
                self._file.truncate(0)
            self._file_end = 0
        return taken

    def close(self) -> None:
        """Give the temporary file back."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()

    def _spill(self, index: int, row: Row) -> None:
        with _disk():
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="aifeedback-", buffering=1 << 16)  # noqa: SIM115 - closed in close()
            self._file.seek(self._file_end)
            self._file.write(_HEAD.pack(len(row.data), row.labelled, row.meta_shape, row.votes) + row.data)
        self._on_disk[index] = self._file_end
        self._file_end += _HEAD.size + len(row.data)

    def _fetch(self, place: int) -> Row:
        assert self._file is not None, "a row that isn't in memory is in the file"
        with _disk():
            self._file.seek(place)
            length, labelled, meta_shape, votes = _HEAD.unpack(self._file.read(_HEAD.size))
            return Row(self._file.read(length), labelled, meta_shape, votes)


def _size(row: Row) -> int:
    return len(row.data) + _BESIDE


@contextlib.contextmanager
def _disk() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{tempfile.gettempdir()} can't hold what waits to be written: {error.strerror}. Make room there or name "
            "another folder in TMPDIR, and run the same command again: what is stored is not asked again."
        ) from error
