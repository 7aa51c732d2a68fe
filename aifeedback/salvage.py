"""What can still be read of a damaged store."""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Generator, Iterator

_UNKNOWN = '{"context": {}, "endpoint": "?", "model": "?", "parameters": {}}'
_AT_ONCE = 500
# Ranges of keys without one readable row that are searched further: each costs a fraction of a millisecond.
_PATIENCE = 4096
_PREFIX = 8
_END = 2 ** (8 * _PREFIX)


def copy(source: sqlite3.Connection, target: sqlite3.Connection) -> int:
    """Everything in `source` that can be read goes into `target`, unless it has it; how many replies were readable.

    Raises sqlite3.Error where `target` can't be written; then it is as before.
    """
    target.execute("BEGIN IMMEDIATE")
    try:
        facets: dict[object, object] = {row[0]: row[1] for row in _rows(source, "SELECT id, facets FROM asked")}
        learnt = list(_rows(source, "SELECT endpoint, model, features FROM learnt"))
        target.executemany("INSERT OR IGNORE INTO learnt VALUES (?, ?, ?)", learnt)
        count = 0
        for row in _replies(source):
            key, asked, *rest = row
            said = facets.get(asked, _UNKNOWN)
            target.execute("INSERT OR IGNORE INTO asked (facets) VALUES (?)", (said,))
            target.execute(
                "INSERT OR IGNORE INTO replies SELECT ?, id, ?, ?, ?, ?, ? FROM asked WHERE facets = ?",
                (key, *rest, said),
            )
            count += 1
        target.execute("COMMIT")
    except BaseException:
        if target.in_transaction:
            target.rollback()
        raise
    return count


def _replies(source: sqlite3.Connection) -> Iterator[tuple[object, ...]]:
    """The readable replies: what lies in a damaged page is gone, what lies before and after it is found by halving."""
    ranges = deque([(0, _END)])  # the widest first, so that patience is spent on all parts alike
    failed = 0
    while ranges and failed < _PATIENCE:
        low, high = ranges.popleft()
        last = low
        query = "SELECT key, asked, messages, pair, sample, stored, body FROM replies WHERE key >= ? AND key < ? ORDER BY key"
        rows = _rows(source, query, (_bound(low), _bound(high)))
        while True:
            try:
                row = next(rows)
            except StopIteration as end:
                broken = bool(end.value)
                break
            yield row
            key = row[0]
            last = int.from_bytes(key[:_PREFIX]) + 1 if isinstance(key, bytes) else last
        if broken:
            failed += 1
            middle = (last + high) // 2
            if last < middle < high:
                ranges += [(last, middle), (middle, high)]


def _bound(number: int) -> bytes:
    return b"\xff" * 40 if number >= _END else number.to_bytes(_PREFIX)


def _rows(
    source: sqlite3.Connection, query: str, values: tuple[object, ...] = ()
) -> Generator[tuple[object, ...], None, bool]:
    """The rows up to the first that can't be read; returns whether there is one."""
    try:
        yield from source.execute(query, values)
    except sqlite3.DatabaseError:
        return True
    return False
