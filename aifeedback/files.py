"""JSON Lines in: streaming, gzip, line numbers; a bad line stops nobody."""

from __future__ import annotations

import hashlib
import sys
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from aifeedback.errors import InputError
from aifeedback.forms import to_pairs
from aifeedback.jsontext import loads
from aifeedback.records import Invalid, Pair
from aifeedback.settings import InputSettings

STDIN = "-"
_AT_ONCE = 256
_BLOCK = 1 << 18
_GZIP = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


class Source(Protocol):
    """Something that bytes come from; `read` gives what there is, at most so many, and b"" at the end."""

    def read(self, size: int, /) -> bytes | None:
        """Up to `size` bytes."""
        ...


class Reader:
    """The pairs of one or more files, in order; `-` is stdin. `hashes` holds each file's SHA-256 once it was read."""

    def __init__(self, paths: Sequence[str], settings: InputSettings, *, stdin: Source | None = None) -> None:
        self.hashes: dict[str, str] = {}
        self._paths = paths
        self._settings = settings
        self._stdin = stdin

    def check(self) -> None:
        """See that all inputs can be read, before anything is asked.

        Raises InputError for what is not there, SettingsError where `--pairs best-worst` lacks a score.
        """
        if list(self._paths).count(STDIN) > 1:
            raise InputError("stdin (-) is named twice. It can be read only once.")
        for path in self._paths:
            if path != STDIN:
                _opened(path).close()
        if self._settings.pairs == "best-worst":
            for path in self._paths:
                if path != STDIN and Path(path).is_file():
                    for _ in self._items(path, {}):
                        pass

    def chunks(self) -> Iterator[list[Pair | Invalid]]:
        """What has arrived, a list at a time: at most 256 lines, of a slow pipe as few as there are."""
        for path in self._paths:
            yield from self._items(path, self.hashes)

    def _items(self, path: str, hashes: dict[str, str]) -> Iterator[list[Pair | Invalid]]:
        name = "stdin" if path == STDIN else path
        number = 0
        for lines, broken in _lines(self._blocks(path, name, hashes)):
            chunk: list[Pair | Invalid] = []
            for line in lines:
                number += 1
                chunk += self._read(line, name, number)
            if broken:
                chunk.append(Invalid(name, number + 1, "", broken))
            if chunk:
                yield chunk

    def _blocks(self, path: str, name: str, hashes: dict[str, str]) -> Iterator[bytes]:
        """The file's own bytes as they come, hashed on the way."""
        digest = hashlib.sha256()
        source = self._stdin or _stdin() if path == STDIN else _opened(path)
        try:
            while block := source.read(_BLOCK):
                digest.update(block)
                yield block
        except OSError as error:
            raise InputError(f"it can't be read on: {error.strerror}.", file=name) from error
        finally:
            if path != STDIN:
                source.close()  # type: ignore[attr-defined] # a file of our own
        hashes[name] = digest.hexdigest()

    def _read(self, line: bytes, name: str, number: int) -> list[Pair | Invalid]:
        """The pairs of one line, nothing for a blank one, or what is wrong with it."""
        if number == 1:
            line = line.removeprefix(_BOM)
        if not line.strip():
            return []
        try:
            value, exact = loads(line)
            if not isinstance(value, Mapping):
                raise InputError(_no_object(line, value))
            return list(to_pairs(value, self._settings, file=name, line=number, exact=exact))
        except InputError as error:
            # Its own text alone: the row has fields for the place.
            return [Invalid(name, number, _raw(line), Exception.__str__(error))]
        except ValueError as error:
            return [Invalid(name, number, _raw(line), _hint(line, number) or str(error))]


def _opened(path: str) -> _File:
    try:
        if Path(path).is_dir():
            raise InputError("that is a folder. Name the files in it.", file=path)
        return _File(path)
    except OSError as error:
        raise InputError(f"{(error.strerror or 'not readable').lower()}. Check the path.", file=path) from error


class _File:
    """A file whose `read` gives what there is, also of a named pipe that fills slowly."""

    def __init__(self, path: str) -> None:
        self._stream = open(path, "rb", buffering=0)  # noqa: SIM115 - closed in close()

    def read(self, size: int, /) -> bytes | None:
        """Up to `size` bytes."""
        return self._stream.read(size)

    def close(self) -> None:
        """Close it."""
        self._stream.close()


def _stdin() -> Source:
    """Standard input without the lock of Python's buffer: a reader that waits on it can be left behind."""
    return open(sys.stdin.fileno(), "rb", buffering=0, closefd=False)


def _lines(blocks: Iterator[bytes]) -> Iterator[tuple[list[bytes], str]]:
    """The lines of a stream, split at b"\\n" alone, in lists; the last with what broke the stream off, if anything did."""
    pending: list[bytes] = []
    broken = ""
    plain = _inflated(blocks)
    while True:
        try:
            block = next(plain)
        except StopIteration:
            break
        except (zlib.error, EOFError) as error:
            broken = f"the compressed stream breaks off here ({error}). Compress the file anew."
            break
        head, newline, tail = block.rpartition(b"\n")
        if not newline:
            pending.append(block)
            continue
        lines = (b"".join(pending) + head).split(b"\n")
        pending = [tail] if tail else []
        for start in range(0, len(lines), _AT_ONCE):
            yield lines[start : start + _AT_ONCE], ""
    rest = b"".join(pending)
    yield [rest] if rest else [], broken


def _inflated(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """The bytes of a stream, decompressed where its first two say that it is gzip. Raises zlib.error, EOFError."""
    first = b""
    for block in blocks:
        first += block
        if len(first) >= 2:
            break
    if not first.startswith(_GZIP):
        if first:
            yield first
        yield from blocks
        return
    inflate = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    data = first
    while True:
        while True:
            piece = inflate.decompress(data, _BLOCK)
            if piece:
                yield piece
            data = inflate.unconsumed_tail
            if inflate.eof:  # a file of several gzip members, as `cat a.gz b.gz` makes
                data = inflate.unused_data.lstrip(b"\0")
                if not data:
                    break
                inflate = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
            elif not data and not piece:
                break
        following = next(blocks, None)
        if following is None:
            break
        if inflate.eof:
            inflate = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
            following = following.lstrip(b"\0")
        data = following
    if not inflate.eof:
        raise EOFError("it ends in the middle")


def _raw(line: bytes) -> str:
    return line.removesuffix(b"\r").decode("utf-8", "backslashreplace")


def _no_object(line: bytes, value: object) -> str:
    if isinstance(value, list) and line.lstrip().startswith(b"["):
        return "a JSON array, not one object a line. Convert it: jq -c '.[]' FILE."
    return "no JSON object. One object a line is expected."


def _hint(line: bytes, number: int) -> str:
    """A better word than the parser's for mistakes that are made often."""
    if number == 1 and line.startswith(_UTF16):
        return "the file is UTF-16. Save it as UTF-8."
    if number == 1 and line.strip() == b"[":
        return "the file is a JSON array, not one object a line. Convert it: jq -c '.[]' FILE."
    if number == 1 and line.strip() == b"{":
        return "the file is JSON over several lines, not one object a line. Convert it: jq -c . FILE."
    return ""
