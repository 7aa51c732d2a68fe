"""Replies by the hash of what was asked for, in one SQLite file: paid once, read as often as you like."""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import orjson

from aifeedback import salvage
from aifeedback.errors import StoreError
from aifeedback.jsontext import dumps, loads
from aifeedback.keys import Asked, Key
from aifeedback.records import Reply, Token, Usage
from aifeedback.store_file import (
    NotOursError,
    connect,
    connect_damaged,
    identity,
    in_turn,
    is_damage,
    remove,
    set_aside,
)

T = TypeVar("T")

# Below that, setting the compressor up costs more time than it saves room.
_WORTH_COMPRESSING = 1024
_REMEDIES = {
    sqlite3.SQLITE_FULL: "Make room",
    sqlite3.SQLITE_IOERR: "Make room, if the disk is full",
    sqlite3.SQLITE_READONLY: "Make it writable",
    sqlite3.SQLITE_BUSY: "Another program keeps it to itself: wait for that",
}
_ELSEWHERE = "Choose another place with --store, or use --no-store."
_FEW, _BLOCK = 16, 256
_FIND = {
    length: f"SELECT key, body FROM replies WHERE key IN ({','.join('?' * length)})"  # noqa: S608 - only question marks
    for length in (_FEW, _BLOCK)
}


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
    under another name, and `note` is told; so is one that turns out to be damaged, and what can be read of it goes on
    in a new one. Without `begin` both are a StoreError, and the file stays as it is.
    """

    def __init__(self, path: Path | None, *, note: Callable[[str], None] = lambda _: None, begin: bool = True) -> None:
        self._note = note
        self._begin = begin
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._lock = threading.Lock()
        try:
            if path is None:
                self._temporary = tempfile.TemporaryDirectory(prefix="aifeedback-")
            self.path = path or Path(self._temporary.name if self._temporary else "") / "replies.sqlite"
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with in_turn(self.path.parent):
                self._connection = self._open()
        except OSError as error:
            where = path.parent if path else "a temporary folder for the replies"
            raise StoreError(f"{where}: {error.strerror}. {_ELSEWHERE}") from error
        except sqlite3.Error as error:
            raise StoreError(f"{self.path}: {error}. {_remedy(error)}, or choose another --store.") from error
        except NotOursError as error:
            raise StoreError(f"{self.path} {error}. Name another file with --store.") from error

    def _open(self) -> sqlite3.Connection:
        try:
            connection = connect(self.path)
        except NotOursError as error:
            if not self._begin:
                raise
            kept = 0
            aside = set_aside(self.path)
            connection = connect(self.path)
            with contextlib.suppress(NotOursError, sqlite3.Error), contextlib.closing(connect_damaged(aside)) as old:
                kept = salvage.copy(old, connection)
            kept_too = f" with the {kept} replies that could be read" if kept else ""
            self._note(f"{self.path} {error}; it was set aside as {aside.name} and a new store was begun{kept_too}.")
        self._identity = identity(self.path)
        return connection

    def close(self) -> None:
        """Close the file; a temporary store is removed."""
        with self._lock:  # a thread may still be at it
            self._connection.close()
        if self._temporary:
            self._temporary.cleanup()

    def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` gives; a second time where the file is damaged and the store goes on in a new one."""
        with self._lock:
            try:
                try:
                    return self._rolled_back(work)
                except sqlite3.DatabaseError as error:
                    if not is_damage(error) or not self._begin:
                        raise
                    self._go_on_in_a_new_file(f"is damaged ({error})")
                    return self._rolled_back(work)
            except sqlite3.Error as error:
                raise StoreError(
                    f"{self.path}: {error}. What was committed is kept. {_remedy(error)} and run the same command again, or choose another --store."
                ) from error

    def _fetched(self, query: str, values: Sequence[object] = ()) -> list[Any]:
        return self._do(lambda connection: connection.execute(query, values).fetchall())

    def _rolled_back(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return work(self._connection)
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._connection.rollback()
            raise

    def _stay(self) -> None:
        """Where the file was removed under our feet, all that it held goes into a new one at its place.

        SQLite would write on into a file without a name, and every reply would be gone with the process.
        """
        with self._lock:
            if self._begin and identity(self.path) != self._identity:
                try:
                    self._go_on_in_a_new_file("was removed during the run")
                except sqlite3.Error as error:
                    raise StoreError(
                        f"{self.path} was removed, and can't be begun anew: {error}. {_ELSEWHERE}"
                    ) from error

    def _go_on_in_a_new_file(self, why: str) -> None:
        """Copy what can be read into a new file, set the old one aside, and use the new one from now on."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with in_turn(self.path.parent):
                if identity(self.path) in {None, self._identity}:
                    count, aside = self._replaced()
                else:  # another process has begun one in the meantime
                    count, aside = self._copied(self.path), ""
                old, self._connection = self._connection, self._open()
        except NotOursError as error:
            raise StoreError(f"{self.path} {why}, and what is there now {error}. {_ELSEWHERE}") from error
        except OSError as error:
            raise StoreError(
                f"{self.path} {why}, and no new one can be begun: {error.strerror}. {_ELSEWHERE}"
            ) from error
        with contextlib.suppress(sqlite3.Error):
            old.close()
        kept = f"it was set aside as {aside}, and " if aside else ""
        self._note(f"{self.path} {why}; {kept}the {count} replies that could be read are in a new store at its place.")

    def _replaced(self) -> tuple[int, str]:
        """Put a copy of what can be read in the place of the file; how many replies, and where the old one is now."""
        # Not a name is changed before the copy is whole: a disk that is full leaves all as it was.
        fresh = self.path.with_name(f"{self.path.name}.anew")
        remove(fresh)
        try:
            count = self._copied(fresh)
        except BaseException:
            with contextlib.suppress(OSError):
                remove(fresh)
            raise
        aside = set_aside(self.path).name if self.path.exists() else ""
        # Of a file that is gone the journals may be left: they must not be taken for the new one's.
        remove(self.path)
        fresh.rename(self.path)
        return count, aside

    def _copied(self, path: Path) -> int:
        with contextlib.closing(connect(path)) as fresh:
            return salvage.copy(self._connection, fresh)

    def find(self, keys: Sequence[Key]) -> dict[bytes, Reply]:
        """The stored replies among `keys`, by digest."""
        found: dict[bytes, Reply] = {}
        for start in range(0, len(keys), _BLOCK):
            block: list[bytes | None] = [key.digest for key in keys[start : start + _BLOCK]]
            # Filled up to one of two lengths: SQLite keeps each statement that it prepared, and a long one takes room.
            length = _BLOCK if len(block) > _FEW else _FEW
            rows = self._fetched(_FIND[length], block + [None] * (length - len(block)))
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
        self._stay()

        def write(connection: sqlite3.Connection) -> None:
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

        self._do(write)

    def learnt(self, endpoint: str, model: str) -> Mapping[str, object]:
        """What earlier runs learnt about an endpoint's features; empty where nothing is known."""
        query = "SELECT features FROM learnt WHERE endpoint = ? AND model = ?"
        rows = self._fetched(query, (endpoint, model))
        return dict(orjson.loads(rows[0][0])) if rows else {}

    def learn(self, endpoint: str, model: str, features: Mapping[str, object]) -> None:
        """Keep what was learnt about an endpoint's features."""
        values = (endpoint, model, orjson.dumps(features).decode())
        self._do(lambda connection: connection.execute("INSERT OR REPLACE INTO learnt VALUES (?, ?, ?)", values))

    def forget(self, model: str) -> None:
        """Drop what was learnt about a model, at all endpoints."""
        self._do(lambda connection: connection.execute("DELETE FROM learnt WHERE model = ?", (model,)))

    def rows(self) -> Iterator[Row]:
        """Every stored reply's facets, without the reply."""
        query = "SELECT key, facets, messages, pair, sample, stored FROM replies JOIN asked ON asked.id = replies.asked"
        rows = self._fetched(query)
        facets: dict[str, Mapping[str, object]] = {text: orjson.loads(text) for text in {row[1] for row in rows}}
        for key, text, messages, pair, sample, stored in rows:
            yield Row(key, facets[text], messages, pair, sample, stored)

    def delete(self, digests: Sequence[bytes]) -> None:
        """Remove replies and give the room back."""

        def remove_all(connection: sqlite3.Connection) -> None:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("DELETE FROM replies WHERE key = ?", [(digest,) for digest in digests])
            connection.execute("DELETE FROM asked WHERE id NOT IN (SELECT DISTINCT asked FROM replies)")
            connection.execute("COMMIT")
            connection.execute("VACUUM")

        self._do(remove_all)


def _remedy(error: sqlite3.Error) -> str:
    """What to do about what SQLite says, without a full stop."""
    if is_damage(error):
        return "Move the file away"
    return _REMEDIES.get(getattr(error, "sqlite_errorcode", 0) & 0xFF, "Mend this")


def _number(connection: sqlite3.Connection, facets: str) -> int:
    connection.execute("INSERT OR IGNORE INTO asked (facets) VALUES (?)", (facets,))
    return int(connection.execute("SELECT id FROM asked WHERE facets = ?", (facets,)).fetchone()[0])


def _pack(reply: Reply) -> bytes:
    usage = reply.usage
    fields: tuple[object, ...] = (
        reply.content, reply.reasoning, reply.refusal, reply.finish_reason, reply.model, reply.fingerprint, reply.rung,
        usage.input, usage.cached, usage.output, usage.reasoning,
    )  # fmt: skip
    if reply.tokens:
        tokens = [(token.start, token.end, *chain.from_iterable(token.alternatives)) for token in reply.tokens]
        fields = (*fields, tokens)
    body = dumps(fields)
    return zlib.compress(body, 1) if len(body) > _WORTH_COMPRESSING else body


def _unpack(body: bytes) -> Reply:
    fields, _ = loads(body if body.startswith(b"[") else zlib.decompress(body))
    if not isinstance(fields, list):
        raise TypeError("no reply")
    content, reasoning, refusal, finish, model, fingerprint, rung, *counts = fields
    tokens = counts.pop() if isinstance(counts[-1], list) else ()
    return Reply(
        content, reasoning, refusal, finish, model, fingerprint, rung, Usage(*counts),
        tuple(Token(start, end, tuple(zip(rest[::2], rest[1::2], strict=True))) for start, end, *rest in tokens),
    )  # fmt: skip
