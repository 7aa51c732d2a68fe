"""Which pairs a page of limited size shows: by kind, trouble first, drawn by seed, in bounded memory."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

_TROUBLE_SHARE = 0.85


@dataclass(slots=True)
class _Stratum:
    """The entries of one kind with the lowest draws, as many as fit."""

    trouble: bool
    heap: list[tuple[int, int, str]] = field(default_factory=list[tuple[int, int, str]])
    size: int = 0
    full: bool = False

    def offer(self, draw: int, number: int, entry: Callable[[], str], room: int) -> None:
        if self.full and -draw <= self.heap[0][0]:
            return  # a higher draw than all that are kept
        text = entry()
        heapq.heappush(self.heap, (-draw, number, text))
        self.size += _bytes(text)
        while self.size > room and len(self.heap) > 1:
            self.full = True
            self.size -= _bytes(heapq.heappop(self.heap)[2])


class Sample:
    """Entries, of which at most `room` bytes are kept; whole texts as long as all of them fit, short ones after that.

    The same entries in the same order and the same seed give the same sample.
    """

    def __init__(self, room: int, *, seed: int = 0) -> None:
        self._room = room
        self._seed = seed
        self._whole: list[tuple[str, str]] | None = []
        self._whole_size = 0
        self._strata: dict[str, _Stratum] = {}
        self._added = 0

    @property
    def complete(self) -> bool:
        """Whether all entries are in it with their whole texts."""
        return self._whole is not None

    def add(self, kind: str, whole: Callable[[], str], short: Callable[[], str], *, trouble: bool) -> None:
        """Offer one; `trouble`: its kind is kept before those that are none."""
        number, self._added = self._added, self._added + 1
        if self._whole is not None:
            text = whole()
            self._whole.append((kind, text))
            self._whole_size += _bytes(text)
            if self._whole_size > self._room:
                self._whole = None
        draw = hashlib.blake2b(f"{self._seed}:{kind}:{number}".encode(), digest_size=8).digest()
        kept = self._strata.setdefault(kind, _Stratum(trouble))
        kept.offer(int.from_bytes(draw, "big"), number, short, self._room)

    def entries(self) -> list[tuple[str, str]]:
        """Those that are shown, each with its kind, in the order in which they came."""
        if self._whole is not None:
            return self._whole
        room = allotted({k: (s.size, s.trouble) for k, s in self._strata.items()}, self._room)
        chosen: list[tuple[int, str, str]] = []
        for kind, kept in self._strata.items():
            left = room[kind]
            for _, number, text in sorted(kept.heap, reverse=True):
                if _bytes(text) > left:
                    break
                left -= _bytes(text)
                chosen.append((number, kind, text))
        return [(kind, text) for _, kind, text in sorted(chosen)]


def allotted(kinds: Mapping[str, tuple[int, bool]], room: int) -> dict[str, int]:
    """How much of `room` each kind gets, by its size and whether it is trouble.

    Trouble goes first, up to 85% where anything else is wanted too; within each, what one kind can't use goes to the
    others in equal shares.
    """
    trouble = {kind: size for kind, (size, bad) in kinds.items() if bad}
    plain = {kind: size for kind, (size, bad) in kinds.items() if not bad}
    needed = min(sum(plain.values()), room - int(room * _TROUBLE_SHARE))
    first = _fair(trouble, room - needed)
    return first | _fair(plain, room - sum(first.values()))


def _fair(sizes: Mapping[str, int], room: int) -> dict[str, int]:
    given: dict[str, int] = {}
    for position, (kind, size) in enumerate(sorted(sizes.items(), key=lambda item: item[1])):
        given[kind] = min(size, (room - sum(given.values())) // (len(sizes) - position))
    return given


def _bytes(text: str) -> int:
    return len(text) + 2 if text.isascii() else len(text.encode("utf-8", "surrogatepass")) + 2
