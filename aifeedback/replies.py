"""The replies of a store as they are, to be read and never changed: what a replay stands on."""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from aifeedback.errors import StoreError
from aifeedback.keys import Key
from aifeedback.records import Reply
from aifeedback.store import Store
from aifeedback.store_file import NotOursError, connect_to_read


class Replies(Store):
    """A store that is read only: on a disk that can't be written, in a file of somebody else, while a run fills it.

    Neither the file nor anything beside it is made, changed or moved. Raises StoreError where there is none.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise StoreError(f"{path}: no store there. Name that of the run with --store.")
        self.path = path
        self._begin = False
        self._temporary = None
        self._lock = threading.Lock()
        self._opened = contextlib.ExitStack()
        before = _state(path)
        try:
            self._connection, still = connect_to_read(path, self._opened)
        except NotOursError as error:
            raise StoreError(f"{path} {error}. Name another file with --store.") from error
        except sqlite3.Error as error:
            raise StoreError(f"{path}: {error}. Mend this, or name another --store.") from error
        except OSError as error:
            raise StoreError(
                f"{path} can't be read: {error.strerror}. A store that a killed run left on a disk that can't be written is "
                f"copied to {tempfile.gettempdir()} first: TMPDIR names another place."
            ) from error
        self._seen = before if still else None

    def find(self, keys: Sequence[Key]) -> dict[bytes, Reply]:
        """The stored replies among `keys`, by digest. Raises StoreError also where the file changes under its reader."""
        found = super().find(keys)
        if self._seen is not None and _state(self.path) != self._seen:
            raise StoreError(f"{self.path} was changed by another run meanwhile. Run the same command again.")
        return found

    def close(self) -> None:
        """Close the file; a copy is removed."""
        with self._lock:
            self._opened.close()


def _state(path: Path) -> tuple[int, int, int]:
    facts = path.stat()
    return facts.st_ino, facts.st_size, facts.st_mtime_ns


def open_store(path: Path | None, *, replay: bool, note: Callable[[str], None] = lambda _: None) -> Store:
    """The store of a run; of a replay only to be read. Raises StoreError."""
    if not replay:
        return Store(path, note=note)
    assert path is not None, "a replay has a store"
    return Replies(path)
