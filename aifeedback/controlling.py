"""Outcomes that wait until all labels are known, since length control decides on all together."""

from __future__ import annotations

import pickle
import struct
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

from aifeedback.errors import OutputError
from aifeedback.length_control import Fate, Lengths, Settled
from aifeedback.ordered import Row
from aifeedback.records import Label, Reply, Status
from aifeedback.settings import OutputSettings

_IN_MEMORY = 16 * 1024 * 1024
_AT_ONCE = 256
_HEAD = struct.Struct("<Q?")


class Controlling:
    """Holds rows in input order: of labelled pairs the label itself, as it is written only when its fate is known.

    Up to `in_memory` bytes; more go to a temporary file without a name. Raises OutputError where that is full.
    """

    def __init__(self, settings: OutputSettings, seed: int, *, in_memory: int = _IN_MEMORY) -> None:
        self._lengths = Lengths(settings.length_control, seed)
        self._keeps_replies = settings.explain == "full"
        self._held = tempfile.SpooledTemporaryFile(max_size=in_memory)  # noqa: SIM115 - closed in close()

    def row(self, position: int, label: Label) -> Row:
        """A labelled pair as a row that waits."""
        self._lengths.add(position, label)
        if not self._keeps_replies:
            label = replace(label, verdicts=tuple(replace(each, reply=_lean(each.reply)) for each in label.verdicts))
        return Row(pickle.dumps(label, pickle.HIGHEST_PROTOCOL), labelled=True)

    def hold(self, rows: Sequence[Row]) -> None:
        """Keep rows, in input order."""
        try:
            for row in rows:
                self._held.write(_HEAD.pack(len(row.data), row.labelled) + row.data)
        except OSError as error:
            raise _full(error) from error

    def settle(self) -> Settled:
        """Decide on all labels that came."""
        return self._lengths.settle()

    def let_through(self, settled: Settled, written: Callable[[Label], Row]) -> Iterator[list[Row]]:
        """Every row that was held, in order, a few hundred at a time; `written` is told what each label came to."""
        fates = iter(settled.fates)
        rows: list[Row] = []
        for labelled, data in self._all():
            if labelled:
                # Written by ourselves, into a file that nobody else can open.
                label = pickle.loads(data)  # noqa: S301
                rows.append(written(_as_decided(label, Fate(next(fates)), settled)))
            else:
                rows.append(Row(data, labelled=False))
            if len(rows) >= _AT_ONCE:
                yield rows
                rows = []
        yield rows

    def _all(self) -> Iterator[tuple[bool, bytes]]:
        try:
            self._held.seek(0)
            while head := self._held.read(_HEAD.size):
                length, labelled = _HEAD.unpack(head)
                yield labelled, self._held.read(length)
        except OSError as error:
            raise _full(error) from error

    def close(self) -> None:
        """Give the temporary file back."""
        with suppress(OSError):
            self._held.close()


def _as_decided(label: Label, fate: Fate, settled: Settled) -> Label:
    if fate is Fate.KEPT:
        return label
    if fate is Fate.FLAGGED:
        return replace(label, length_flagged=True)
    return replace(label, length_flagged=True, status=Status.LENGTH, reason=settled.reason)


def _lean(reply: Reply | None) -> Reply | None:
    """A reply without its words: the verdict has those that are written."""
    return None if reply is None else Reply("", model=reply.model, fingerprint=reply.fingerprint)


def _full(error: OSError) -> OutputError:
    return OutputError(
        f"the labels that wait for --length-control can't be kept in {tempfile.gettempdir()}: {error.strerror or error}. "
        "Set TMPDIR to a folder with room, and run the same command again: what is stored is not asked again."
    )
