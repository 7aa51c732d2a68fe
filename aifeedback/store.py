"""Replies by the hash of what was asked for, in one SQLite file: paid once, read as often as you like."""

from __future__ import annotations

import hashlib
import sqlite3
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from aifeedback.errors import StoreError
from aifeedback.records import Question, Reply, Usage, text_of

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
class Asked:
    """Whom a run asks and with what, as far as it decides the reply; all of it is part of the key, `context` is not.

    `endpoint`: its URL without credentials, or the id that the user gave it. `parameters`: what the user asked for,
    never what the endpoint's quirks made of it. `context`: the template and criteria, for `store explain`.
    """

    endpoint: str
    model: str
    parameters: Mapping[str, object]
    context: Mapping[str, str]

    def facets(self) -> str:
        """Everything as canonical JSON."""
        return orjson.dumps(asdict(self), option=orjson.OPT_SORT_KEYS).decode()


@dataclass(frozen=True, slots=True)
class Key:
    """Where a question's reply is kept, and the parts by which a near miss is explained."""

    digest: bytes
    messages: bytes
    pair: bytes
    sample: int


class Keys:
    """Makes the keys of one run's questions to one critic; what is the same for all of them is hashed once."""

    def __init__(self, asked: Asked) -> None:
        head = orjson.dumps([asked.endpoint, asked.model, asked.parameters], option=orjson.OPT_SORT_KEYS)
        self._head = hashlib.blake2b(head, digest_size=16)

    def key(self, question: Question) -> Key:
        """The key of `question`: a hash of the messages, the model, the parameters, the endpoint and the sample."""
        messages = hashlib.blake2b(digest_size=16)
        for message in question.messages:
            content = message.content.encode()
            messages.update(b"%d %s %d " % (len(message.role), message.role.encode(), len(content)))
            messages.update(content)
        digest = self._head.copy()
        digest.update(messages.digest() + question.sample.to_bytes(4, "big"))
        return Key(digest.digest(), messages.digest(), pair_hash(question), question.sample)


def pair_hash(question: Question) -> bytes:
    """The same for all questions about the same content, whatever the template, the order or the critic."""
    pair = question.pair
    sides = sorted((text_of(pair.response_a), text_of(pair.response_b)))
    text = "\0".join((text_of(pair.prompt), *sides))
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()


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
    under another name, and `note` is told.
    """

    def __init__(self, path: Path | None, *, note: Callable[[str], None] = lambda _: None) -> None:
        self._temporary = None if path else tempfile.TemporaryDirectory(prefix="aifeedback-")
        self.path = path or Path(self._temporary.name if self._temporary else ".") / "replies.sqlite"
        self._lock = threading.Lock()
        self._asked_ids: dict[str, int] = {}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"{self.path.parent}: {error.strerror}. Choose another place with --store, or use --no-store."
            ) from error
        try:
            self._connection = self._open()
        except _NotOursError as error:
            aside = _set_aside(self.path)
            note(f"{self.path} {error}; it was set aside as {aside.name} and a new store was begun.")
            self._connection = self._open()

    def _open(self) -> sqlite3.Connection:
        try:
            connection = sqlite3.connect(self.path, timeout=60, check_same_thread=False, isolation_level=None)
        except sqlite3.Error as error:
            raise StoreError(f"{self.path}: {error}. Choose another place with --store, or use --no-store.") from error
        try:
            _prepare(connection)
        except sqlite3.OperationalError as error:
            connection.close()
            raise StoreError(f"{self.path}: {error}. Choose another place with --store, or use --no-store.") from error
        except sqlite3.DatabaseError as error:
            connection.close()
            raise _NotOursError(f"is no usable store ({error})") from error
        except _NotOursError:
            connection.close()
            raise
        return connection

    def close(self) -> None:
        """Close the file; a temporary store is removed."""
        self._connection.close()
        if self._temporary:
            self._temporary.cleanup()

    @contextmanager
    def _using(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._connection
            except sqlite3.Error as error:
                self._asked_ids.clear()
                if self._connection.in_transaction:
                    self._connection.rollback()
                raise StoreError(
                    f"{self.path}: {error}. What was committed is kept; run the same command again once this is mended."
                ) from error

    def find(self, keys: Sequence[Key]) -> dict[bytes, Reply]:
        """The stored replies among `keys`, by digest."""
        found: dict[bytes, Reply] = {}
        for start in range(0, len(keys), 256):
            block = [key.digest for key in keys[start : start + 256]]
            marks = ",".join("?" * len(block))
            with self._using() as connection:
                rows = connection.execute(f"SELECT key, body FROM replies WHERE key IN ({marks})", block).fetchall()  # noqa: S608 - only question marks
            found.update((digest, _unpack(body)) for digest, body in rows)
        return found

    def put(self, entries: Iterable[tuple[Key, Asked, Reply]]) -> None:
        """Keep all of `entries` in one transaction: when this returns they survive a killed process."""
        now = time.time()
        with self._using() as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(
                "INSERT OR REPLACE INTO replies VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        key.digest,
                        self._asked_id(connection, asked),
                        key.messages,
                        key.pair,
                        key.sample,
                        now,
                        _pack(reply),
                    )
                    for key, asked, reply in entries
                ],
            )
            connection.execute("COMMIT")

    def _asked_id(self, connection: sqlite3.Connection, asked: Asked) -> int:
        facets = asked.facets()
        known = self._asked_ids.get(facets)
        if known is None:
            connection.execute("INSERT OR IGNORE INTO asked (facets) VALUES (?)", (facets,))
            known = int(connection.execute("SELECT id FROM asked WHERE facets = ?", (facets,)).fetchone()[0])
            self._asked_ids[facets] = known
        return known

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

    def rows(self) -> Iterator[Row]:
        """Every stored reply's facets, without the reply."""
        with self._using() as connection:
            facets = {number: orjson.loads(text) for number, text in connection.execute("SELECT id, facets FROM asked")}
            rows = connection.execute("SELECT key, asked, messages, pair, sample, stored FROM replies").fetchall()
        for key, asked, messages, pair, sample, stored in rows:
            yield Row(key, facets[asked], messages, pair, sample, stored)

    def delete(self, digests: Sequence[bytes]) -> None:
        """Remove replies and give the room back."""
        with self._using() as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("DELETE FROM replies WHERE key = ?", [(digest,) for digest in digests])
            connection.execute("DELETE FROM asked WHERE id NOT IN (SELECT DISTINCT asked FROM replies)")
            connection.execute("COMMIT")
            connection.execute("VACUUM")
        self._asked_ids.clear()


class _NotOursError(Exception):
    """The file is there, but it is not a store of this version."""


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


def _set_aside(path: Path) -> Path:
    """Move a file that is no store, and its journals, to the first free name beside it."""
    number = 1
    while (aside := path.with_name(f"{path.name}.aside-{number}")).exists():
        number += 1
    path.rename(aside)
    for suffix in ("-wal", "-shm"):
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
    return zlib.compress(orjson.dumps(fields), 1)


def _unpack(body: bytes) -> Reply:
    content, reasoning, refusal, finish, model, fingerprint, rung, *tokens = orjson.loads(zlib.decompress(body))
    return Reply(content, reasoning, refusal, finish, model, fingerprint, rung, Usage(*tokens))
