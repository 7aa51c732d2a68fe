"""Finished labels instead of critics: files are read again, and gold comes from them or from an input beside them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from aifeedback.errors import InputError
from aifeedback.evaluation.asking import is_judged
from aifeedback.evaluation.collecting import Collection
from aifeedback.evaluation.disagreements import Disagreements
from aifeedback.evaluation.groups import Groups
from aifeedback.evaluation.outcome import Gathered
from aifeedback.evaluation.settings import EvaluateSettings
from aifeedback.files import Reader
from aifeedback.job import usable
from aifeedback.labelled_files import labels_in, rest_of
from aifeedback.records import Invalid, Label, Pair, Winner, text_of
from aifeedback.settings import InputSettings
from aifeedback.templates import Template


def read_labels(
    inputs: Sequence[str],
    settings: EvaluateSettings,
    input_settings: InputSettings,
    template: Template,
    *,
    seed: int,
    limit: int = 0,
    note: Callable[[str], None],
    disagreements: Disagreements | None,
) -> Gathered:
    """Take the labels of each file as one critic's. Raises InputError for a line that can't be read, or has no partner in `inputs`."""
    groups = Groups(settings.by)
    collection = Collection(groups, template.format, seed=seed)
    meta = bool(settings.by or settings.disagreements)
    people = _People(inputs, input_settings, limit, meta=meta) if inputs else None
    counts = Counter[str]()
    numbers: dict[tuple[str, int, bytes], int] = {}
    for place, path in enumerate(settings.labels):
        rest = settings.rests[place] if place < len(settings.rests) else rest_of(path)
        file = _File(path, rest, people, limit)
        entry = _entry_name(file.critic, path, collection)
        collection.add_critic(entry, file.critic)
        if not rest:
            note(
                f"{path} has no rest beside it: ties, conflicts and failures are unknown, and accuracy speaks of labelled pairs only. --rest FILE names one that lies elsewhere."
            )
        _take(file, entry, collection, disagreements, numbers, counts)
        if file.strong:
            collection.rename(entry, f"{entry}, in doubt {'+'.join(file.strong)}")
        if people is not None and (absent := people.unlabelled()):
            note(f"{absent} pairs of the input are not in {path}; its figures leave them out.")
    if not collection.pairs:
        raise InputError(
            'no labelled pair has "gold" or "votes", so there is nothing to hold the labels against. Name the input that has them beside --labels: they are matched by id.'
        )
    for name in groups.unknown():
        note(f"--by {name}: no pair has such a field.")
    if counts["without"]:
        note(f"{counts['without']} of {counts['read']} labels have neither gold nor votes and were left out.")
    return Gathered(
        collection, counts["read"], counts["without"], counts["invalid"], inputs=people.hashes if people else {}
    )


def _take(
    file: _File,
    entry: str,
    collection: Collection,
    disagreements: Disagreements | None,
    numbers: dict[tuple[str, int, bytes], int],
    counts: Counter[str],
) -> None:
    """All labels of a file become one entry's; `numbers` are those of the pairs that were seen so far."""
    for key, label in file.labels(counts):
        if isinstance(label, Invalid):
            collection.critics[entry].figures.tally.add(label)
            continue
        new = key not in numbers
        number = numbers.setdefault(key, len(numbers))
        if new:
            collection.add_pair(number, label.pair)
            if disagreements is not None:
                disagreements.add_pair(number, label.pair)
        collection.add(entry, number, label)
        if disagreements is not None:
            disagreements.add(entry, number, label)


@dataclass(frozen=True, slots=True)
class _Known:
    """What the input says of a pair, and what its responses are known by; `meta` only where somebody asks for it."""

    gold: Literal["", "a", "b", "tie"]
    votes: tuple[Winner, ...]
    responses: bytes
    meta: Mapping[str, object] | None


class _People:
    """Gold and votes of the input, by id."""

    def __init__(self, inputs: Sequence[str], settings: InputSettings, limit: int, *, meta: bool) -> None:
        reader = Reader(inputs, settings)
        reader.check()
        self._known: dict[str, _Known | None] = {}
        self._seen: set[str] = set()
        self._names = ", ".join(inputs)
        count = 0
        for chunk in usable(reader, inputs):
            for item in chunk:
                if isinstance(item, Invalid) or (limit and count >= limit):
                    continue
                count += 1
                known = _Known(item.gold, item.votes, _responses(item), item.meta if meta else None)
                before = self._known.get(item.id, known)
                # None: the id stands for several pairs, and a label could be any one's.
                same = before is not None and (before.gold, before.votes, before.responses) == (
                    known.gold,
                    known.votes,
                    known.responses,
                )
                self._known[item.id] = known if same else None
        self.hashes = reader.all_hashes()

    def begin(self) -> None:
        """Begin with the next file of labels."""
        self._seen.clear()

    def judged(self, pair: Pair, place: str) -> Pair:
        """The labelled pair with what people say about it. Raises InputError where that can't be known."""
        if pair.id not in self._known:
            raise InputError(f"{place}: the id {pair.id!r} is not in {self._names}. Name the input that was labelled.")
        known = self._known[pair.id]
        if known is None:
            raise InputError(
                f"{place}: the id {pair.id!r} stands for several pairs in {self._names}. Give each pair an id of its own."
            )
        if known.responses != _responses(pair):
            raise InputError(
                f"{place}: the responses of {pair.id!r} are not those in {self._names}. Name the input that was labelled, with the same --seed."
            )
        self._seen.add(pair.id)
        return replace(pair, gold=known.gold, votes=known.votes, meta=pair.meta if known.meta is None else known.meta)

    def unlabelled(self) -> int:
        """Judged pairs of the input that the file of labels doesn't have."""
        return sum(
            1
            for name, known in self._known.items()
            if name not in self._seen and (known is None or known.gold or known.votes)
        )


class _File:
    """One file of labels and its rest. `strong`: who was asked in doubt, known when all labels were read."""

    def __init__(self, path: str, rest: str, people: _People | None, limit: int) -> None:
        self._path, self._rest, self._people, self._limit = path, rest, people, limit
        self._labels = labels_in(path, rest)
        self._head: list[Label | Invalid] = []
        self.strong: dict[str, None] = {}
        self.critic = self._named()

    def _named(self) -> str:
        """The critics that were asked first, as the first label with verdicts names them, joined by `+`."""
        for label in self._labels:
            self._head.append(label)
            if isinstance(label, Label) and label.verdicts:
                names = dict.fromkeys(
                    verdict.critic for verdict in label.verdicts if verdict.critic != label.decided_by
                )
                return "+".join(names) or self._path
        return self._path

    def labels(self, counts: Counter[str]) -> Iterator[tuple[tuple[str, int, bytes], Label | Invalid]]:
        """Each bad line, and each label of a pair that people have judged, under what it is known by in other files, too."""
        occurrences: Counter[str] = Counter()
        if self._people is not None:
            self._people.begin()
        for number, label in enumerate(self._all()):
            if self._limit and number >= self._limit:
                return
            counts["read"] += 1
            if isinstance(label, Invalid):
                counts["invalid"] += 1
                yield ("", 0, b""), label
                continue
            if label.decided_by:
                self.strong[label.decided_by] = None
            pair = label.pair if self._people is None else self._people.judged(label.pair, self._path)
            if not is_judged(pair):
                counts["without"] += 1
                continue
            key = (pair.id, occurrences[pair.id], _responses(pair))
            occurrences[pair.id] += 1
            yield key, replace(label, pair=pair)

    def _all(self) -> Iterator[Label | Invalid]:
        yield from self._head
        yield from self._labels


def _entry_name(critic: str, path: str, collection: Collection) -> str:
    """The critic's name, or where another file has the same one, with its file."""
    return f"{critic} ({path})" if critic in collection.critics else critic


def _responses(pair: Pair) -> bytes:
    digest = hashlib.blake2b(digest_size=8)
    for content in (pair.response_a, pair.response_b):
        data = text_of(content).encode("utf-8", "surrogatepass")
        digest.update(b"%d " % len(data))
        digest.update(data)
    return digest.digest()
