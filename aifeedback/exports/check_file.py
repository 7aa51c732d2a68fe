"""A file that a trainer is to read, looked through: JSON Lines, one JSON array, or Parquet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from aifeedback.errors import InputError
from aifeedback.exports.checking import Check
from aifeedback.exports.parquet_file import rows_of
from aifeedback.files import STDIN, RawLine, Source, name_of
from aifeedback.jsontext import loads

_PARQUET = b"PAR1"


def check(path: str) -> Check:
    """Look through a file. Raises InputError for one that can't be read at all or holds no rows."""
    found = Check()
    for number, value, broken in _rows(path):
        found.see(number, value, broken)
    if not found.rows:
        raise InputError("no rows in it.", file=name_of(path))
    found.finish()
    return found


def _rows(path: str) -> Iterator[tuple[int, object, str]]:
    """Each row with its line (in an array or a table: its number), and why it can't be read."""
    if _is_parquet(path):
        try:
            yield from ((number, row, "") for number, row in enumerate(rows_of(path), 1))
        except ValueError as error:
            raise InputError(str(error), file=path) from None
        return
    source = Source([path])
    source.check()
    lines = (raw for chunk in source.lines(path, {}) for raw in chunk)
    first = next((raw for raw in lines if raw.broken or raw.data.strip()), None)
    if first is None:
        return
    if first.data.lstrip().startswith(b"["):
        # an array can't be taken line by line in general: it is read whole
        yield from _elements(b"\n".join([first.data, *(raw.data for raw in lines)]), name_of(path))
        return
    yield _value(first)
    yield from (_value(raw) for raw in lines if raw.broken or raw.data.strip())


def _is_parquet(path: str) -> bool:
    try:
        with Path(path).open("rb") as file:
            return path != STDIN and Path(path).is_file() and file.read(len(_PARQUET)) == _PARQUET
    except OSError:
        return False


def _value(raw: RawLine) -> tuple[int, object, str]:
    if raw.broken:
        return raw.number, None, raw.broken
    try:
        return raw.number, loads(raw.data)[0], ""
    except ValueError as error:
        return raw.number, None, str(error)


def _elements(text: bytes, name: str) -> Iterator[tuple[int, object, str]]:
    try:
        value, _ = loads(text)
    except ValueError as error:
        raise InputError(str(error), file=name) from None
    assert isinstance(value, list), "what begins with a bracket is an array"
    yield from ((number, element, "") for number, element in enumerate(value, 1))
