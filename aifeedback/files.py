"""JSON Lines in: streaming, gzip, line numbers; a bad line stops nobody."""

from __future__ import annotations

import contextlib
import hashlib
import select
import stat
import sys
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import BinaryIO, NamedTuple

from aifeedback.errors import InputError
from aifeedback.forms import check_names, given_id, to_pairs
from aifeedback.jsontext import loads
from aifeedback.records import Invalid, Pair
from aifeedback.settings import InputSettings

STDIN = "-"
_AT_ONCE = 256
_BLOCK = 1 << 18
_GZIP = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_NOT_UTF8 = "the file is UTF-16. Save it as UTF-8."
_GZIP_FORMAT = zlib.MAX_WBITS | 16


class RawLine(NamedTuple):
    """One line of a file, numbered from 1; `broken` says why it can't be read as a line, where it can't."""

    number: int
    data: bytes
    broken: str = ""


class Source:
    """The lines of one or more files, in order; `-` is stdin. `hashes` holds each file's SHA-256 once it was read.

    `arrived`: how many bytes of the files as they lie on the disk have come so far.
    """

    def __init__(self, paths: Sequence[str], *, stdin: BinaryIO | None = None) -> None:
        self.hashes: dict[str, str] = {}
        self.arrived = 0
        self._paths = paths
        self._stdin = stdin

    def check(self) -> list[str]:
        """See that all inputs can be read, and say which of them can be read twice. Pipes are not read.

        Raises InputError for what is not there or no UTF-8 text.
        """
        if list(self._paths).count(STDIN) > 1:
            raise InputError("stdin (-) is named twice. It can be read only once.")
        return [path for path in self._paths if path != STDIN and _checked(path)]

    def all_hashes(self) -> dict[str, str]:
        """`hashes`, and of files that were not read to their end too; a pipe's can't be known then."""
        for path in self._paths:
            if path not in self.hashes and path != STDIN and Path(path).is_file():
                with open(path, "rb", buffering=0) as file:
                    self.hashes[path] = hashlib.file_digest(file, "sha256").hexdigest()
        return self.hashes

    def lines(self, path: str, hashes: dict[str, str]) -> Iterator[list[RawLine]]:
        """The lines of one file that have arrived, a list at a time, without a byte order mark."""
        number = 0
        blocks = self._blocks(path, hashes)
        for lines, broken in _lines(blocks):
            chunk = [RawLine(at, line) for at, line in enumerate(lines, number + 1)]
            if not number and chunk:
                if chunk[0].data.startswith(_UTF16):
                    yield [RawLine(1, chunk[0].data, _NOT_UTF8)]
                    for _ in blocks:
                        pass  # not one of its lines can be read, but its hash is that of the whole file
                    return
                chunk[0] = RawLine(1, chunk[0].data.removeprefix(_BOM))
            number += len(chunk)
            if broken is not None:
                chunk.append(RawLine(number + 1, broken.cut, broken.reason))
            yield chunk

    def size(self) -> int | None:
        """How many bytes all files have together; None where a pipe is among them."""
        try:
            found = [Path(path).stat() for path in self._paths if path != STDIN]
        except OSError:
            return None
        if len(found) < len(self._paths) or not all(stat.S_ISREG(each.st_mode) for each in found):
            return None
        return sum(each.st_size for each in found)

    def values(self) -> Iterator[Line]:
        """The JSON value of each line of all files, blank ones left out."""
        for path in self._paths:
            name, begun = name_of(path), False
            for chunk in self.lines(path, self.hashes):
                for raw in chunk:
                    if raw.broken or raw.data.strip():
                        yield _value(name, raw, first=not begun)
                        begun = True

    def _blocks(self, path: str, hashes: dict[str, str]) -> Iterator[bytes]:
        """The file's own bytes as they come, hashed on the way."""
        digest = hashlib.sha256()
        source = self._open(path)
        try:
            while block := _arrived(source):
                digest.update(block)
                self.arrived += len(block)
                yield block
        except OSError as error:
            raise InputError(f"it can't be read on: {error.strerror}.", file=name_of(path)) from error
        finally:
            if path != STDIN:
                source.close()
        hashes[name_of(path)] = digest.hexdigest()

    def _open(self, path: str) -> BinaryIO:
        if path != STDIN:
            return _opened(path)
        return _stdin() if self._stdin is None else self._stdin


@dataclass(frozen=True, slots=True)
class Line:
    """The JSON value of one line, or the `problem` with it: it is no JSON, or can't be read at all."""

    file: str
    line: int
    value: object
    problem: str = ""


def name_of(path: str) -> str:
    """What an input is called in messages."""
    return "stdin" if path == STDIN else path


def _value(name: str, raw: RawLine, *, first: bool) -> Line:
    if raw.broken:
        return Line(name, raw.number, None, raw.broken)
    try:
        return Line(name, raw.number, loads(raw.data)[0])
    except ValueError as error:
        return Line(name, raw.number, None, (_hint(raw.data) if first else "") or str(error))


class Reader:
    """The pairs of one or more files, in order; `-` is stdin. `hashes` holds each file's SHA-256 once it was read."""

    def __init__(self, paths: Sequence[str], settings: InputSettings, *, stdin: BinaryIO | None = None) -> None:
        self._paths = paths
        self._settings = settings
        self._source = Source(paths, stdin=stdin)
        self._items_read = 0
        self._bytes_read = 0

    @property
    def hashes(self) -> dict[str, str]:
        """The SHA-256 of each file that was read to its end."""
        return self._source.hashes

    def check(self) -> None:
        """See that all inputs can be read, before anything is asked.

        Raises InputError for what is not there or no UTF-8 text, SettingsError for a `--map` that names no field of
        ours, and where `--pairs best-worst` lacks a score. Pipes are not read.
        """
        check_names(self._settings)
        regular = self._source.check()
        if self._settings.pairs == "best-worst":
            for path in regular:
                for _ in self._items(path, {}):
                    pass  # a missing score raises

    def chunks(self) -> Iterator[list[Pair | Invalid]]:
        """What has arrived, a list at a time: at most 256 lines, of a slow pipe as few as there are."""
        for path in self._paths:
            yield from self._items(path, self.hashes)

    def expected(self) -> int | None:
        """About how many pairs and bad lines there are in all, by what was read so far; None where the size is unknown."""
        size = self._source.size()
        # A block lies ready before its lines are read; of a compressed file only what lies on the disk can be compared.
        read = min(self._bytes_read, self._source.arrived)
        return round(self._items_read * size / read) if size and read else None

    def all_hashes(self) -> dict[str, str]:
        """`hashes`, and of files that were not read to their end too; a pipe's can't be known then."""
        return self._source.all_hashes()

    def _items(self, path: str, hashes: dict[str, str]) -> Iterator[list[Pair | Invalid]]:
        name, begun = name_of(path), False
        for lines in self._source.lines(path, hashes):
            chunk: list[Pair | Invalid] = []
            for raw in lines:
                items = self._read(raw, name, first=not begun)
                begun = begun or bool(items)
                chunk += items
                self._items_read += len(items)
                self._bytes_read += len(raw.data) + 1
                if len(chunk) >= _AT_ONCE:  # one line may be a thousand pairs
                    yield chunk
                    chunk = []
            if chunk:
                yield chunk

    def _read(self, raw: RawLine, name: str, *, first: bool) -> list[Pair | Invalid]:
        """The pairs of one line, nothing for a blank one, or what is wrong with it."""
        number, line = raw.number, raw.data
        if raw.broken:
            return [Invalid(name, number, _raw(line), raw.broken)]
        if not line.strip():
            return []
        row_id = ""
        try:
            value, exact = loads(line)
            if not isinstance(value, dict):
                raise InputError(_no_object(value))
            row_id = given_id(value, self._settings)
            return list(to_pairs(value, self._settings, file=name, line=number, exact=exact))
        except InputError as error:
            # Its own text alone: the row has fields for the place.
            return [Invalid(name, number, _raw(line), Exception.__str__(error), row_id)]
        except ValueError as error:
            return [Invalid(name, number, _raw(line), (_hint(line) if first else "") or str(error))]


def _checked(path: str) -> bool:
    """Whether the file can be read twice. Raises InputError for what can't be read at all.

    A pipe is not opened: what it says would be lost, and its writer gone.
    """
    try:
        mode = Path(path).stat().st_mode
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    if stat.S_ISDIR(mode):
        raise InputError("that is a folder. Name the files in it.", file=path)
    if not stat.S_ISREG(mode):
        return False
    with _opened(path) as file:
        try:
            head = next(_inflated(iter([_arrived(file)])), b"")
        except (zlib.error, EOFError):
            return True  # a row says so, after those that can be read
        except OSError as error:
            raise _unreadable(path, error) from error
    if head.startswith(_UTF16):
        raise InputError(_NOT_UTF8, file=path)
    return True


def _opened(path: str) -> BinaryIO:
    """A file that is read as it fills, which matters with a named pipe."""
    try:
        return open(path, "rb", buffering=0)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: str, error: OSError | ValueError) -> InputError:
    reason = getattr(error, "strerror", None) or "no name of a file"
    return InputError(f"{reason.lower()}. Check the path.", file=path)


def _stdin() -> BinaryIO:
    """Standard input without the lock of Python's buffer: a reader that waits on it can be left behind."""
    try:
        return open(sys.stdin.fileno(), "rb", buffering=0, closefd=False)
    except (OSError, ValueError, AttributeError) as error:
        raise InputError("it is closed. Name a file, or pipe one in.", file="stdin") from error


def _arrived(source: BinaryIO) -> bytes:
    """What there is, at most a block, waiting for the first byte; b"" at the end."""
    read = getattr(source, "read1", source.read)
    while (block := read(_BLOCK)) is None:  # a pipe that somebody set to not block, and nothing in it yet
        select.select([source], [], [])
    return bytes(block)


class _Broken(NamedTuple):
    """Where a compressed stream broke off: the line that it cut, and why."""

    cut: bytes
    reason: str


def _lines(blocks: Iterator[bytes]) -> Iterator[tuple[list[bytes], _Broken | None]]:
    """The lines of a stream, split at the newline byte alone, in lists; the last with what broke the stream off, if anything did."""
    pending: list[bytes] = []
    try:
        for block in _inflated(blocks):
            head, newline, tail = block.rpartition(b"\n")
            if not newline:
                pending.append(block)
                continue
            first, *lines = head.split(b"\n")
            # only the first line may be long: it is put together alone, and its pieces let go before it is read
            lines.insert(0, b"".join([*pending, first]) if pending else first)
            pending = [tail] if tail else []
            del head, block, first
            for start in range(0, len(lines), _AT_ONCE):
                yield lines[start : start + _AT_ONCE], None
    except (zlib.error, EOFError) as error:
        reason = f"the compressed stream breaks off here ({error}). Compress the file anew."
        yield [], _Broken(b"".join(pending), reason)
    else:
        if pending:
            yield [b"".join(pending)], None


def _inflated(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """The bytes of a stream, decompressed where its first two say that it is gzip. Raises zlib.error, EOFError."""
    first = b""
    for block in blocks:
        first += block
        if len(first) >= len(_GZIP):
            break
    if first.startswith(_GZIP):
        yield from _gunzipped(chain([first], blocks))
    else:
        yield from chain([first] if first else [], blocks)


def _gunzipped(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """The bytes of one or more gzip members, as `cat a.gz b.gz` makes them, up to the byte where one is damaged."""
    member = zlib.decompressobj(_GZIP_FORMAT)
    for block in blocks:
        data = block
        while data:
            if member.eof:
                data = data.lstrip(b"\0")  # padding
                if not data:
                    break
                member = zlib.decompressobj(_GZIP_FORMAT)
            before = member.copy()
            try:
                piece = member.decompress(data, _BLOCK)
            except zlib.error:
                # zlib gives nothing of a call that fails: byte by byte, all that came before the damage is had
                with contextlib.suppress(zlib.error):
                    for byte in data:
                        yield before.decompress(bytes([byte]))
                raise
            yield piece
            data = member.unused_data if member.eof else member.unconsumed_tail
    if not member.eof:
        yield member.flush()
        raise EOFError("it ends in the middle")


def _raw(line: bytes) -> str:
    return line.removesuffix(b"\r").decode("utf-8", "backslashreplace")


def _no_object(value: object) -> str:
    if isinstance(value, list):
        return "a JSON array, not one object a line. Convert it: jq -c '.[]' FILE."
    return "no JSON object. One object a line is expected."


def _hint(line: bytes) -> str:
    """A better word than the parser's for mistakes that are made often; `line` is the file's first."""
    if line.lstrip().startswith(b"["):
        return "the file is a JSON array, not one object a line. Convert it: jq -c '.[]' FILE."
    if b"{" not in line and b'"' not in line[:1] and (b"," in line or b";" in line or b"\t" in line):
        return "the file looks like a table (CSV), not one JSON object a line. Convert it first."
    if line.strip() == b"{":
        return "the file is JSON over several lines, not one object a line. Convert it: jq -c . FILE."
    return ""
