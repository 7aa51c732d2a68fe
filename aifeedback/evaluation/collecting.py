"""Labels of several critics on the same pairs, collected: figures, groups and what tells one critic from another."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from aifeedback.evaluation.baselines import LONGER, NAMES, baseline_labels
from aifeedback.evaluation.figures import Figures, Votes, votes_of
from aifeedback.evaluation.groups import Groups
from aifeedback.records import Label, Pair, VerdictFormat

_ABSENT = -1


@dataclass(slots=True)
class Entry:
    """One critic or baseline. `name` tells it from the others, `critic` is whose family it is of.

    `earned` holds what each pair earned, in halves, by the pair's number; -1 where nothing can be said.
    """

    name: str
    critic: str
    half_for_ties: bool = False
    figures: Figures = field(init=False)
    groups: dict[str, dict[str, Figures]] = field(default_factory=dict[str, dict[str, Figures]])
    earned: array[int] = field(default_factory=lambda: array("b"))

    def __post_init__(self) -> None:
        self.figures = self._empty()

    def _empty(self) -> Figures:
        return Figures(self.critic, self.half_for_ties)

    def add(self, number: int, label: Label, by: Sequence[str], groups: Sequence[str]) -> None:
        """Fold in what it says of the pair of that number."""
        earned = self.figures.add(label)
        if number >= len(self.earned):
            self.earned.extend([_ABSENT] * (number + 1 - len(self.earned)))
        self.earned[number] = _ABSENT if earned is None else earned
        for name, value in zip(by, groups, strict=True):
            self.groups.setdefault(name, {}).setdefault(value, self._empty()).add(label)

    def beside(self, other: Entry) -> Counter[tuple[int, int]]:
        """How often the two earned what, over the pairs where both earned something."""
        return Counter(
            (one, two) for one, two in zip(self.earned, other.earned, strict=False) if _ABSENT not in {one, two}
        )


class Collection:
    """All entries over numbered pairs, and what people said about these."""

    def __init__(self, groups: Groups, form: VerdictFormat, *, seed: int = 0) -> None:
        self.critics: dict[str, Entry] = {}
        self.baselines = {name: Entry(name, name, half_for_ties=name == LONGER) for name in NAMES}
        self.votes: Counter[Votes] = Counter()
        self.golds: Counter[str] = Counter()
        self.pairs = 0
        self._groups = groups
        self._form = form
        self._seed = seed

    def add_critic(self, name: str, critic: str) -> None:
        """Begin an entry."""
        self.critics[name] = Entry(name, critic)

    def rename(self, name: str, new: str) -> None:
        """Give an entry another name; it is the last one."""
        self.critics[new] = self.critics.pop(name)
        self.critics[new].name = new

    def add_pair(self, number: int, pair: Pair) -> None:
        """Take in a pair itself, once: people's votes, and what the baselines make of it."""
        self.pairs += 1
        self.golds[pair.gold] += 1
        if len(pair.votes) > 1:
            self.votes[votes_of(pair)] += 1
        groups = self._groups.of(pair.meta, file=pair.file, line=pair.line)
        for name, label in baseline_labels(pair, self._form, seed=self._seed).items():
            self.baselines[name].add(number, label, self._groups.by, groups)

    def add(self, name: str, number: int, label: Label) -> None:
        """Take in what a critic says about a pair."""
        groups = self._groups.of(label.pair.meta, file=label.pair.file, line=label.pair.line)
        self.critics[name].add(number, label, self._groups.by, groups)

    def beside_each_other(self) -> Iterator[tuple[Entry, Entry]]:
        """Each two critics."""
        yield from combinations(self.critics.values(), 2)
