"""The SQLite file that a store is: begun, recognised, set aside."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

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


def connect(path: Path) -> sqlite3.Connection:
    """Open a store, or begin one where nothing is. Raises NotOursError, and sqlite3.Error where SQLite can't."""
    _check_kind(path)
    connection = sqlite3.connect(path, timeout=60, check_same_thread=False, isolation_level=None)
    try:
        _prepare(connection)
    except sqlite3.DatabaseError as error:
        connection.close()
        if not isinstance(error, sqlite3.OperationalError):
            raise NotOursError(f"is no usable store ({error})") from error
        raise
    except NotOursError:
        connection.close()
        raise
    return connection


def _check_kind(path: Path) -> None:
    """Raise NotOursError for what is no file of SQLite's, before a journal that lies beside it is written into it."""
    if path.is_file():
        # Not with open(): to close it would give back the locks of whoever has the store open in this process.
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as head:
            try:
                head.execute("SELECT count(*) FROM sqlite_master")
            except sqlite3.DatabaseError as error:
                if error.sqlite_errorcode == sqlite3.SQLITE_NOTADB:
                    raise NotOursError(f"is no usable store ({error})") from error


def connect_damaged(path: Path) -> sqlite3.Connection:
    """Open for reading what may be left of a store. Raises NotOursError, sqlite3.Error."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
    try:
        # With that, SQLite reads on in a file that is shorter than its head says.
        connection.execute("PRAGMA writable_schema = ON")
        if _marks(connection) != (_APPLICATION_ID, _VERSION):
            raise NotOursError("is no store of this version")
    except BaseException:
        connection.close()
        raise
    return connection


def connect_to_read(path: Path, opened: contextlib.ExitStack) -> tuple[sqlite3.Connection, bool]:
    """Open a store without a change to it, to its journals or beside it; and whether it is seen as it is at this moment.

    Where a journal lies beside it, a run is writing or was killed. What a file system that can't be written does not
    let SQLite read in place is read from a copy, which `opened` removes. Raises NotOursError, sqlite3.Error, OSError.
    """
    _check_kind(path)
    uri, journal = path.absolute().as_uri(), path.with_name(f"{path.name}-wal")
    still = not journal.exists()
    try:
        connection = _to_read(f"{uri}?mode=ro{'&immutable=1' if still else ''}")
    except sqlite3.OperationalError:
        if still:
            raise
        still = True
        if journal.stat().st_size:
            folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="aifeedback-")))
            for source in (path, journal):
                shutil.copyfile(source, folder / source.name)
            connection = _to_read(f"{(folder / path.name).as_uri()}?mode=rw")
        else:
            connection = _to_read(f"{uri}?mode=ro&immutable=1")
    opened.callback(connection.close)
    return connection, still


def _to_read(uri: str) -> sqlite3.Connection:
    connection = sqlite3.connect(uri, uri=True, timeout=60, check_same_thread=False, isolation_level=None)
    try:
        if _marks(connection) != (_APPLICATION_ID, _VERSION):
            raise NotOursError("is no store of this version")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except BaseException as error:
        connection.close()
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
            raise NotOursError(f"is no usable store ({error})") from error
        raise
    return connection


def is_damage(error: sqlite3.Error) -> bool:
    """Whether SQLite says that the file itself is broken: no waiting and no room on the disk would help."""
    # The rest of the code says how it was found out.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def identity(path: Path) -> tuple[int, int] | None:
    """What tells the file at `path` from another that takes its place; None where there is none."""
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_dev, facts.st_ino


class NotOursError(Exception):
    """The file is there, but it is not a store of this version."""


@contextlib.contextmanager
def in_turn(folder: Path) -> Iterator[None]:
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
    application, version = _marks(connection)
    if tables and application != _APPLICATION_ID:
        raise NotOursError("is a SQLite file of something else")
    if tables and version != _VERSION:
        raise NotOursError(f"is a store of version {version}, this program writes version {_VERSION}")
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


def _marks(connection: sqlite3.Connection) -> tuple[int, int]:
    """By which a file says that it is a store, and of which version."""
    application, version = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0]) for name in ("application_id", "user_version")
    )
    return application, version


def set_aside(path: Path) -> Path:
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


def remove(path: Path) -> None:
    """Delete a store that was not finished, and its journals."""
    for suffix in ("", "-journal", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
