"""Rows finished in any order, handed out in input order, in bounded memory."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from typing import IO

_IN_MEMORY = 16 * 1024 * 1024


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
    """Takes rows by index, gives them out without gaps; what waits behind a slow head goes to disk above 16 MB."""

    def __init__(self) -> None:
        self._next = 0
        self._waiting: dict[int, Row] = {}
        self._on_disk: dict[int, tuple[int, int]] = {}
        self._bytes = 0
        self._file: IO[bytes] | None = None
        self._file_end = 0

    def put(self, index: int, row: Row) -> None:
        """Hand in the row of input position `index` (from 0); each index once."""
        if index != self._next and self._bytes + len(row.data) > _IN_MEMORY:
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="aifeedback-")  # noqa: SIM115 - closed in close()
            self._file.seek(self._file_end)
            self._file.write(row.data)
            self._on_disk[index] = (self._file_end, len(row.data))
            self._file_end += len(row.data)
            row = replace(row, data=b"")
        self._bytes += len(row.data)
        self._waiting[index] = row

    def take(self) -> list[Row]:
        """All rows that are next in line."""
        ready: list[Row] = []
        while (row := self._waiting.pop(self._next, None)) is not None:
            self._bytes -= len(row.data)
            place = self._on_disk.pop(self._next, None)
            if place is not None and self._file is not None:
                self._file.seek(place[0])
                row = replace(row, data=self._file.read(place[1]))
            ready.append(row)
            self._next += 1
        if not self._on_disk and self._file_end and self._file is not None:
            self._file.truncate(0)
            self._file_end = 0
        return ready

    def close(self) -> None:
        """Give the temporary file back."""
        if self._file is not None:
            self._file.close()
