"""Rows on their way into an output: a line each, or all in one JSON array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from aifeedback.exports.format import Row
from aifeedback.jsontext import dumps
from aifeedback.publish import Output

_AT_ONCE = 256


class Sink(Protocol):
    """Somewhere rows go."""

    def add(self, rows: Sequence[Row]) -> None:
        """Take rows."""
        ...

    def close(self) -> None:
        """All rows are in: write what is still held."""
        ...


class Lines:
    """A line of JSON each."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._held: list[bytes] = []

    def add(self, rows: Sequence[Row]) -> None:
        """Take rows; NaN and large numbers in what was carried along stay as they are."""
        self._held += [dumps(row, exact="meta" in row) for row in rows]
        if len(self._held) >= _AT_ONCE:
            self._flush()

    def close(self) -> None:
        """Write the last of them."""
        self._flush()

    def _flush(self) -> None:
        self._output.write(self._held)
        self._held = []


class Array:
    """One JSON array, an element a line; the comma after an element is written when there is a next one."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._opened = False
        self._last: list[bytes] = []

    def add(self, rows: Sequence[Row]) -> None:
        """Take rows."""
        for row in rows:
            self._output.write([b"[", *self._commaed()] if not self._opened else self._commaed())
            self._opened, self._last = True, [dumps(row)]

    def close(self) -> None:
        """Write the last of them and the bracket."""
        self._output.write([*([] if self._opened else [b"["]), *self._last, b"]"])

    def _commaed(self) -> list[bytes]:
        return [last + b"," for last in self._last]
