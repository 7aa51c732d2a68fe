"""Replies by the hash of what was asked for, in one SQLite file: paid once, read as often as you like."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from aifeedback.errors import StoreError
from aifeedback.jsontext import dumps, loads
from aifeedback.keys import Asked, Key
from aifeedback.records import Reply, Usage

# Below that, setting the compressor up costs more time than it saves room.
_WORTH_COMPRESSING = 1024
_ELSEWHERE = "Choose another place with --store, or use --no-store."
_FEW, _BLOCK = 16, 256
_FIND = {
    length: f"SELECT key, body FROM replies WHERE key IN ({','.join('?' * length)})"  # noqa: S608 - only question marks
    for length in (_FEW, _BLOCK)
}
_APPLICATION_ID = 0x61696662  # "aifb"
_VERSION = 1
_SCHEMA = """
CREATE TABLE asked (id INTEGER PRIMARY KEY, facets TEXT NOT NULL UNIQUE);
CREATE TABLE replies (
    key BLOB PRIMARY KEY, asked INTEGER NOT NULL REFERENCES asked, messages BLOB NOT NULL, pair BLOB NOT NULL,
    sample INTEGER NOT NULL, stored REAL NOT NULL, body BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE learnt (endpoint TEXT NOT NULL, model TEXT NOT NULL, features TEXT NOT NULL, PRIMARY KEY (endpoint, model));
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One stored reply as `store stats`, `explain` and `prune` see it."""

    key: bytes
    facets: Mapping[str, object]
    messages: bytes
    pair: bytes
    sample: int
    stored: float


class Store:
    """One SQLite file in WAL mode that several processes may share; every method may be called from any thread.

    Raises StoreError where the file can't be opened or written. A file that is no store of this version is set aside
    under another name, and `note` is told; without `begin` that is a StoreError too, and the file stays as it is.
    """

    def __init__(self, path: Path | None, *, note: Callable[[str], None] = lambda _: None, begin: bool = True) -> None:
        self._temporary = None if path else tempfile.TemporaryDirectory(prefix="aifeedback-")
        self.path = path or Path(self._temporary.name if self._temporary else ".") / "replies.sqlite"
        self._lock = threading.Lock()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with _in_turn(self.path.parent):
                self._connection = self._open_or_begin(note) if begin else self._open()
        except OSError as error:
            raise StoreError(f"{self.path.parent}: {error.strerror}. {_ELSEWHERE}") from error
        except _NotOursError as error:
            raise StoreError(f"{self.path} {error}. Name another file with --store.") from error

    def _open_or_begin(self, note: Callable[[str], None]) -> sqlite3.Connection:
        try:
            return self._open()
        except _NotOursError as error:
            aside = _set_aside(self.path)
            note(f"{self.path} {error}; it was set aside as {aside.name} and a new store was begun.")
            return self._open()

    def _open(self) -> sqlite3.Connection:
        try:
            connection = sqlite3.connect(self.path, timeout=60, check_same_thread=False, isolation_level=None)
        except sqlite3.Error as error:
            raise StoreError(f"{self.path}: {error}. {_ELSEWHERE}") from error
        try:
            _prepare(connection)
        except sqlite3.OperationalError as error:
            connection.close()
            raise StoreError(f"{self.path}: {error}. {_ELSEWHERE}") from error
        except sqlite3.DatabaseError as error:
            connection.close()
            raise _NotOursError(f"is no usable store ({error})") from error
        except _NotOursError:
            connection.close()
            raise
        return connection

    def close(self) -> None:
        """Close the file; a temporary store is removed."""
        with self._lock:  # a thread may still be at it
            self._connection.close()
        if self._temporary:
            self._temporary.cleanup()

    @contextlib.contextmanager
    def _using(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._connection
            except sqlite3.Error as error:
                with contextlib.suppress(sqlite3.Error):
                    self._connection.rollback()
                raise StoreError(
                    f"{self.path}: {error}. What was committed is kept. Mend this and run the same command again, or choose another --store."
                ) from error

    def find(self, keys: Sequence[Key]) -> dict[bytes, Reply]:
        """The stored replies among `keys`, by digest."""
        found: dict[bytes, Reply] = {}
        for start in range(0, len(keys), _BLOCK):
            block: list[bytes | None] = [key.digest for key in keys[start : start + _BLOCK]]
            # Filled up to one of two lengths: SQLite keeps each statement that it prepared, and a long one takes room.
            length = _BLOCK if len(block) > _FEW else _FEW
            with self._using() as connection:
                rows = connection.execute(_FIND[length], block + [None] * (length - len(block))).fetchall()
            for digest, body in rows:
                with contextlib.suppress(zlib.error, ValueError, TypeError):  # damaged: it is asked for again
                    found[digest] = _unpack(body)
        return found

    def put(self, entries: Iterable[tuple[Key, Asked, Reply]]) -> None:
        """Keep all of `entries` in one transaction: when this returns they survive a killed process."""
        texts: dict[int, str] = {}  # a run has one Asked for each critic: each is written out once
        packed = []
        for key, asked, reply in entries:
            if id(asked) not in texts:
                texts[id(asked)] = asked.facets()
            packed.append((key, texts[id(asked)], _pack(reply)))
        now = time.time()
        with self._using() as connection:
            connection.execute("BEGIN IMMEDIATE")
            # Not remembered any longer than this: another process may prune in between.
            numbers = {facets: _number(connection, facets) for facets in {facets for _, facets, _ in packed}}
            connection.executemany(
                "INSERT OR REPLACE INTO replies VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    (key.digest, numbers[facets], key.messages, key.pair, key.sample, now, body)
                    for key, facets, body in packed
                ],
            )
            connection.execute("COMMIT")

    def learnt(self, endpoint: str, model: str) -> Mapping[str, object]:
        """What earlier runs learnt about an endpoint's features; empty where nothing is known."""
        with self._using() as connection:
            row = connection.execute(
                "SELECT features FROM learnt WHERE endpoint = ? AND model = ?", (endpoint, model)
            ).fetchone()
        return dict(orjson.loads(row[0])) if row else {}

    def learn(self, endpoint: str, model: str, features: Mapping[str, object]) -> None:
        """Keep what was learnt about an endpoint's features."""
        with self._using() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO learnt VALUES (?, ?, ?)", (endpoint, model, orjson.dumps(features).decode())
            )

    def forget(self, model: str) -> None:
        """Drop what was learnt about a model, at all endpoints."""
        with self._using() as connection:
            connection.execute("DELETE FROM learnt WHERE model = ?", (model,))

    def rows(self) -> Iterator[Row]:
        """Every stored reply's facets, without the reply."""
        with self._using() as connection:
            rows = connection.execute(
                "SELECT key, facets, messages, pair, sample, stored FROM replies JOIN asked ON asked.id = replies.asked"
            ).fetchall()
        facets: dict[str, Mapping[str, object]] = {text: orjson.loads(text) for text in {row[1] for row in rows}}
        for key, text, messages, pair, sample, stored in rows:
            yield Row(key, facets[text], messages, pair, sample, stored)

    def delete(self, digests: Sequence[bytes]) -> None:
        """Remove replies and give the room back."""
        with self._using() as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("DELETE FROM replies WHERE key = ?", [(digest,) for digest in digests])
            connection.execute("DELETE FROM asked WHERE id NOT IN (SELECT DISTINCT asked FROM replies)")
            connection.execute("COMMIT")
            connection.execute("VACUUM")


class _NotOursError(Exception):
    """The file is there, but it is not a store of this version."""


@contextlib.contextmanager
def _in_turn(folder: Path) -> Iterator[None]:
    """Processes that open stores in `folder` do so one after the other: two can't make or move a file at once."""
    with contextlib.ExitStack() as stack:
        if sys.platform != "win32":
            import fcntl

            with contextlib.suppress(OSError):  # a folder that can't be listed, a file system without locks
                descriptor = os.open(folder, os.O_RDONLY)
                stack.callback(os.close, descriptor)
                fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


def _prepare(connection: sqlite3.Connection) -> None:
    """Make a new file a store, or see that an old one is one."""
    connection.execute("PRAGMA busy_timeout = 60000")
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    application, version = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
    )
    if tables and application != _APPLICATION_ID:
        raise _NotOursError("is a SQLite file of something else")
    if tables and version != _VERSION:
        raise _NotOursError(f"is a store of version {version}, this program writes version {_VERSION}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    if not tables:
        connection.execute("BEGIN IMMEDIATE")
        if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            for statement in _SCHEMA.split(";")[:-1]:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {_VERSION}")
        connection.execute("COMMIT")


def _number(connection: sqlite3.Connection, facets: str) -> int:
    connection.execute("INSERT OR IGNORE INTO asked (facets) VALUES (?)", (facets,))
    return int(connection.execute("SELECT id FROM asked WHERE facets = ?", (facets,)).fetchone()[0])


def _set_aside(path: Path) -> Path:
    """Move a file that is no store, and its journals, to the first free name beside it."""
    number = 1
    while (aside := path.with_name(f"{path.name}.aside-{number}")).exists():
        number += 1
    path.rename(aside)
    for suffix in ("-journal", "-wal", "-shm"):
        journal = path.with_name(path.name + suffix)
        if journal.exists():
            journal.rename(aside.with_name(aside.name + suffix))
    return aside


def _pack(reply: Reply) -> bytes:
    usage = reply.usage
    fields = (
        reply.content, reply.reasoning, reply.refusal, reply.finish_reason, reply.model, reply.fingerprint, reply.rung,
        usage.input, usage.cached, usage.output, usage.reasoning,
    )  # fmt: skip
    body = dumps(fields)
    return zlib.compress(body, 1) if len(body) > _WORTH_COMPRESSING else body


def _unpack(body: bytes) -> Reply:
    fields, _ = loads(body if body.startswith(b"[") else zlib.decompress(body))
    if not isinstance(fields, list):
        raise TypeError("no reply")
    content, reasoning, refusal, finish, model, fingerprint, rung, *tokens = fields
    return Reply(content, reasoning, refusal, finish, model, fingerprint, rung, Usage(*tokens))
