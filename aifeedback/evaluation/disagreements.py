"""The pairs on which critics and people disagree, those first that are most worth reading."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO

from aifeedback.evaluation.figures import said
from aifeedback.jsontext import dumps
from aifeedback.records import Content, Label, Pair, Status

_AGAINST, _CONFLICT, _TIE = range(3)


@dataclass(slots=True)
class _Held:
    """What is kept of a pair in memory: where its texts lie, and how worth reading it is."""

    places: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    kind: int | None = None
    strength: float = 0.0
    critics: int = 0
    unanimity: float = 0.0

    def rank(self, number: int) -> tuple[int, float, int, float, int]:
        """Sorts the most confident contradictions first, then what most critics and fewest people got wrong."""
        kind = _TIE if self.kind is None else self.kind
        return kind, -self.strength, -self.critics, -self.unanimity, number

    def note(self, kind: int, strength: float) -> None:
        """One critic disagrees."""
        if self.kind is None or kind < self.kind:
            self.kind, self.strength, self.critics = kind, strength, 0
        if kind == self.kind:
            self.strength = max(self.strength, strength)
            self.critics += 1


class Disagreements:
    """Collects them; texts wait in a temporary file."""

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile(prefix="aifeedback-")  # noqa: SIM115 - closed by close
        self._held: dict[int, _Held] = {}
        self._end = 0

    def add_pair(self, number: int, pair: Pair) -> None:
        """Keep the pair's own text."""
        held = self._held.setdefault(number, _Held())
        if pair.votes and pair.gold:
            held.unanimity = pair.votes.count(pair.gold) / len(pair.votes)
        record = {
            "id": pair.id,
            "file": pair.file,
            "line": pair.line,
            "prompt": _plain(pair.prompt),
            "response_a": _plain(pair.response_a),
            "response_b": _plain(pair.response_b),
            "gold": pair.gold,
            "votes": list(pair.votes),
            "meta": dict(pair.meta),
        }
        self._keep(held, dumps(record, exact=pair.exact))

    def add(self, name: str, number: int, label: Label) -> None:
        """Keep what a critic said about it, and whether that is a disagreement."""
        held = self._held.setdefault(number, _Held())
        if (found := _disagreement(label)) is not None:
            held.note(*found)
        record = {
            "critic": name,
            "winner": label.winner or "",
            "p_a": label.p_a,
            "status": label.status or "",
            "verdicts": [
                {
                    "critic": verdict.critic,
                    "order": verdict.order,
                    "p_a": verdict.p_a,
                    "reason": verdict.reason or verdict.why,
                }
                for verdict in label.verdicts
            ],
        }
        self._keep(held, dumps(record))

    def _keep(self, held: _Held, data: bytes) -> None:
        self._file.write(data)
        held.places.append((self._end, len(data)))
        self._end += len(data)

    def lines(self) -> Iterator[bytes]:
        """A line for each pair that somebody disagrees about, without its newline."""
        worth = [(held.rank(number), held) for number, held in self._held.items() if held.kind is not None]
        for _, held in sorted(worth, key=lambda each: each[0]):
            pair, *critics = (self._read(*place) for place in held.places)
            yield pair[:-1] + b',"critics":[' + b",".join(critics) + b"]}"

    def _read(self, offset: int, length: int) -> bytes:
        self._file.seek(offset)
        return self._file.read(length)

    def close(self) -> None:
        """Let the temporary file go."""
        self._file.close()


def _disagreement(label: Label) -> tuple[int, float] | None:
    """Of which kind, and how strong; None where gold and label agree or one of them says nothing."""
    gold = label.pair.gold
    if not gold:
        return None
    if label.status is Status.CONFLICT:
        ab, ba = label.order_p_a.values() if len(label.order_p_a) == 2 else (0.5, 0.5)
        return _CONFLICT, abs(ab - ba)
    word = said(label)
    if word in {"none", gold}:
        return None
    return (_TIE, label.preference) if "tie" in {word, gold} else (_AGAINST, label.preference)


def _plain(content: Content) -> object:
    if isinstance(content, str):
        return content
    return [{"role": message.role, "content": message.content} for message in content]
